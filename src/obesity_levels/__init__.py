"""Obesity levels from 16 answers: the library behind the pipeline's stages and the service."""

import os

# On Linux too ONNX Runtime would write a device's id to the home folder and send events to its maker. It looks at this
# once, when it is imported, which only modules of this package do.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
