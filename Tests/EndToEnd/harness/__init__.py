"""What the end-to-end suites share: servers as processes, etcd's API from data files, clients, peers."""
