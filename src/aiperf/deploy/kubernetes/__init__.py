"""WHERE services run, in a cluster: from the Plan to manifests, and how they live there."""
