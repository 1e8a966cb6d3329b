//! The proof of the kernels without a GPU: every one compiles to machine code for every architecture within its recorded
//! resources, and the host build of the same sources, which checks every access, gives the right numbers.

mod axial;
// The scales of rounding errors by which the CPU kernels are judged; the helpers of their own tests stay unused here.
#[allow(dead_code)]
#[path = "../../../engine/tests/pau/bound.rs"]
mod bound;
mod chain;
mod elements;
mod encoders;
mod faults;
mod gpu;
mod head;
mod lstm;
mod machine_code;
mod mutate;
mod mutations;
mod pau;
mod preprocess;
mod primitives;
mod product;
mod program;
mod residual;
mod script;
mod site;
mod transformer;
