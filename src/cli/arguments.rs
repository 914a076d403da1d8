//! What was typed.

use clap::{Parser, Subcommand};

use super::output::Format;
use super::{
    backup, circle, cluster, completions, config, doctor, drill, group, import, init, join, key, man,
    recover, restore, serve, token, trust, user,
};
use crate::dev;

/// A highly available access-token authority.
#[derive(Parser)]
#[command(
    name = "circlet",
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Arguments {
    /// How results are printed on stdout
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", env = "CIRCLET_OUTPUT")]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Make a new cluster of one node in a home directory
    Init(init::Init),
    /// Make a home directory for a new node of an existing cluster
    Join(join::Join),
    /// Run the node of a home directory
    Serve(serve::Serve),
    /// Run a whole cluster on this machine, to try things
    Dev(dev::Dev),
    /// Look after the nodes of a cluster
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Look at a node's home, its machine and its peers, and say what to do
    Doctor(doctor::Doctor),
    /// Drive load at a running cluster while something happens to it, and tell what the clients noticed
    Drill(drill::Drill),
    /// Create, refresh, revoke, list, show and verify access tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Create, delete and list users
    #[command(subcommand)]
    User(user::UserCommand),
    /// Create, delete and list groups
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Import what an older installation lists
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Add, remove and list trusted clusters
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Pair with other clusters, so that revocable tokens are honoured there too
    #[command(subcommand)]
    Circle(circle::CircleCommand),
    /// List, rotate, taint and retire the cluster's signing keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Show and change the access configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Write what outlives the cluster into a sealed file, while it runs
    Backup(backup::Backup),
    /// Begin again from a backup: the first node of a new cluster, or in place of a lost one
    Restore(restore::Restore),
    /// Begin again with one stopped node: the majority of its cluster is gone for good
    Recover(recover::Recover),
    /// Print a shell's completions, for its completion directory
    Completions(completions::Completions),
    /// Write the manual pages into a directory
    Man(man::Man),
}
