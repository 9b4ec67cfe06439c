"""The formats between stages, one file per format, so that an edit re-runs only the stages that read it."""
