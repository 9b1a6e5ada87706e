"""`aiperf kube`: one module for each command or group of commands, `command` with their table."""
