"""The page for people: a form, its answer, and what is known of the model. `WEB=off` takes it away."""
