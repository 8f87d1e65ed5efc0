"""Whether rows still look like those that the model was trained on, and how often the alarm is wrong."""
