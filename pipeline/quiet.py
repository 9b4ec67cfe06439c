"""No telemetry, no version checks: said to every tool before it is imported or started."""

import os
from collections.abc import MutableMapping

SETTINGS = {
    "DVC_NO_ANALYTICS": "1",
    "DVC_STUDIO_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


def silence_tools(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set every tool's own switch; what a user has set already stays."""
    for name, value in SETTINGS.items():
        environment.setdefault(name, value)
