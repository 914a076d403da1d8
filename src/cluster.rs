//! The bridge between the edge and the replicated authority.
