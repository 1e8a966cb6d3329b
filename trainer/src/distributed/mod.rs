//! Several processes that train one network, on c10d's store and Gloo (CPU) and NCCL (CUDA).
//!
//! **Meeting.** `torchrun --no-python` and `trainer launch` name each process its place in the environment ([`Place`]). All
//! connect to one TCPStore: the launcher's where it keeps one (`TORCHELASTIC_USE_AGENT_STORE=True`), else rank 0's. Through
//! the store they find each other's addresses (Gloo) and NCCL's unique id, after they have agreed on how many they are.
//!
//! **Collectives.** Every process must issue the same collectives of one group in the same order. A [`Group`] holds two Gloo
//! groups. The *common* one carries whatever the training thread waits for: sums of losses and statistics, broadcasts. Each of
//! these returns before the thread goes on, so they follow the program's order, and on the way back the order of autograd,
//! which is that of the (equal) graphs. The *gradients'* group carries the [`Reducer`]'s buckets, which start in the order of
//! the buckets, whichever gradients come first, and run on Gloo's own threads. Nothing waits for a bucket before
//! [`Reducer::finish`], and every process gets there having waited only for sums of the common group, which all of them issue
//! no matter how far the buckets are: no process can wait for one that waits for it. On CUDA one NCCL communicator serves both,
//! because one thread issues everything in that same order; the buckets go to a stream of their own beside backward.
//!
//! **Losing a process.** Each process counts up a number in the store twice a second and watches the others'
//! (`watch.rs`). A closed connection ends a collective at once; whose number has stopped, or who said that it left, is then
//! named. A process that is silent for 20 s is lost even when no connection closed. Either way the others end with an error
//! that names it, and the run goes on from its last checkpoint with `--resume`.
//!
//! NCCL has run with one process only: **more than one GPU is unproven**.

mod environment;
mod gloo;
mod group;
mod nccl;
mod reducer;
mod store;
mod watch;

pub use environment::Place;
pub use group::Group;
pub(crate) use group::release;
pub use reducer::Reducer;
pub use store::Host;
