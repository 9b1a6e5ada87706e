"""Every port of a run's pods, in one table.

Owns: the numbers. Does not own: who listens there (`aiperf.deploy.layouts`), who may connect (`network`).

All are above 1023: a pod of the `restricted` profile may listen on them.
"""

CONTROL_PORT = 5551
"""The hub of the control bus, at the system controller."""
CREDITS_PORT = 5552
"""Credits and their returns, at the timing manager."""
COLUMNS_PORT = 5553
"""Columns and sketches, at the records manager."""
RECORDS_PORT = 5554
"""Slices of responses, at a record processor; in the compact topology on the pod's loopback only."""
CALIBRATION_PORT = 5555
"""The built-in server of a calibration: plain HTTP, from workers."""

API_PORT = 8443
"""The HTTP API, by TLS always: also what comes through a tunnel."""
HEALTH_PORT = 8081
"""`/healthz` and `/readyz` of a pod's first container."""
SIDECAR_HEALTH_PORT = 8082
"""The same of the record processor beside a worker: both share the pod's addresses."""

PORT_NAMES = {
    CONTROL_PORT: "control",
    CREDITS_PORT: "credits",
    COLUMNS_PORT: "columns",
    RECORDS_PORT: "records",
    CALIBRATION_PORT: "calibration",
    API_PORT: "api",
    HEALTH_PORT: "health",
    SIDECAR_HEALTH_PORT: "health-sidecar",
}
"""As they appear in manifests: at most 15 letters."""
