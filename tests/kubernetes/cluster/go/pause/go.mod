// The container that holds a pod's namespaces.
module cluster.test/pause

go 1.26.0
