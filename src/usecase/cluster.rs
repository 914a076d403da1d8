//! Nodes of the cluster: status, join tokens, removal, transfer of leadership.
