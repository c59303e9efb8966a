"""The top-level packages of the product."""

ROOMS = (
    *("contract", "kafka_io", "producer", "stream_app", "api"),
    *("operations", "local_stack", "cli"),
)
