//! Secrets sealed under the cluster's master key.
