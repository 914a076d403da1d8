//! A whole cluster from one seed: the real authority and the real replication on a simulated network, simulated
//! disks and simulated clocks.
//!
//! | module | holds |
//! |---|---|
//! | [`run`] | one run: faults for a while, then none |
//! | [`afterlife`] | the end of a cluster, and another one that begins from what is left |
//! | [`workload`] | what clients do meanwhile |
//! | [`chaos`] | what is done to them |
//! | [`fault`] | what can go wrong, by kind |
//! | [`midst`] | what is being changed when it does |
//! | [`history`] | what happened, in one order |
//! | [`invariant`] | what must hold, one file each |
//! | [`linear`] | whether a history is linearizable, and what each object would have said |
//! | [`plant`] | bugs that can be planted, to prove that they would be caught |
//! | [`proof`] | for each invariant a bug that it catches by itself |
//! | [`circle`] | two clusters that follow each other, and the way between them |
//! | [`cluster`] | computers and the nodes on them |
//! | [`house`] | what a cluster begins with |
//! | [`machine`] | the product's machine, watched |
//! | [`mark`] | watermarks, as those mean them who set them |
//! | [`wires`] | the network |
//! | [`disk`] | the disks |
//! | [`floor`] | the product's floor under revocations, on storage of a simulated node's own |
//! | [`clock`] | the clocks |
//! | [`runtime`], [`scope`] | the runtime, and a scope per node in it |
//! | `announced`, [`authority`], [`feature_level`], [`judge`], [`mod@reference`], [`reference_token`], [`vouch`], [`duty`], [`round`], [`follow`], `telling`, [`told`], [`serve`], [`forward`], [`orders`], [`invitation`], [`pairing`], [`secret`] | the product's own: telling where a node is, the machine, what versions know, what a view says of a token, what it says of a reference token, what those look like, the rule of freshness, what nodes do for keys, a round of purging, following a feed and answering for one, ordering a revoke and carrying it out, invitations and pairing by one |
//! | [`version`] | which version of the program a node runs |
//! | [`turnover`] | the product's steps in turning the master key over, on a simulated node |
//! | [`sealing`] | master keys, and what is sealed under them |
//! | [`dice`] | where chance comes from |

pub mod afterlife;
pub mod chaos;
pub mod circle;
pub mod clock;
pub mod cluster;
pub mod dice;
pub mod disk;
pub mod fault;
pub mod floor;
pub mod history;
pub mod house;
pub mod invariant;
pub mod linear;
pub mod machine;
pub mod mark;
pub mod midst;
pub mod plant;
pub mod proof;
pub mod run;
pub mod runtime;
pub mod scope;
pub mod sealing;
pub mod staleness;
pub mod turnover;
pub mod version;
pub mod wires;
pub mod workload;

#[path = "../../../src/node/announced.rs"]
mod announced;
#[path = "../../../src/usecase/refresh/asked.rs"]
mod asked;
#[path = "../../../src/audit/calendar.rs"]
pub mod audit;
#[path = "../../../src/machine.rs"]
pub mod authority;
#[path = "../../../src/derivation.rs"]
mod derivation;
#[path = "../../../src/digest.rs"]
mod digest;
#[path = "../../../src/rotation/duty.rs"]
pub mod duty;
#[path = "../../../src/feature_level.rs"]
pub mod feature_level;
#[path = "../../../src/circle/follow.rs"]
pub mod follow;
#[path = "../../../src/circle/forward.rs"]
pub mod forward;
#[path = "../../../src/invitation.rs"]
pub mod invitation;
#[path = "../../../src/authenticate/judge.rs"]
pub mod judge;
#[path = "../../../src/circle/orders.rs"]
pub mod orders;
#[path = "../../../src/circle/pairing.rs"]
pub mod pairing;
#[path = "../../../src/authenticate/reference.rs"]
pub mod reference;
#[path = "../../../src/reference_token/form.rs"]
pub mod reference_token;
#[path = "../../../src/node/purge/round.rs"]
pub mod round;
#[path = "../../../src/secret.rs"]
pub mod secret;
#[path = "../../../src/circle/serve.rs"]
pub mod serve;
#[path = "../../../src/node/given_up/telling.rs"]
mod telling;
#[path = "../../../src/circle/told.rs"]
pub mod told;
#[path = "../../../src/authenticate/vouch.rs"]
pub mod vouch;
