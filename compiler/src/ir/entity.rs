//! Dense ids: an entity is an index into the vector that holds it.

use std::fmt;

macro_rules! entity {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// The id of the entity at `index`.
            pub fn new(index: usize) -> Self {
                $name(index as u32)
            }

            /// Where the entity lies in its vector.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

entity!(
    /// A tensor of a graph; printed as `%3`.
    TensorId,
    "%"
);
entity!(
    /// A node of a graph, in execution order; printed as `@3`.
    NodeId,
    "@"
);
