"""The model: features, estimators, the search among them, and the artifact that is served."""

import os

# On Linux, ONNX Runtime would write a device id to the home folder and send events to its maker. It reads this variable
# once, when it is imported, and only modules of this package import it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
