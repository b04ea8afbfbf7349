//! The `offshoot` command as a user meets it: the real binary, its exit codes, what it prints and
//! what it leaves on disk, with good inputs and with broken ones.

mod accuracy;
mod adapters;
mod arguments;
mod bank;
mod contract;
mod data;
mod external;
mod fit;
mod folders;
mod guards;
mod inspect;
mod keeping;
mod layers;
mod merging;
mod models;
mod programs;
mod recordings;
mod report;
mod schemes;
mod search;
mod support;
mod tables;
mod writes;
