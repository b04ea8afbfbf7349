//! How descriptors are declared.

/// Declares descriptors, with `visit` from the access written beside each slot field, so that the
/// two cannot disagree.
macro_rules! descriptors {
    ($( $(#[$doc:meta])* $name:ident {
        $( $(#[$fdoc:meta])* $field:ident : $ty:ty $(= $access:ident)? ),* $(,)?
    } )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name { $( $(#[$fdoc])* pub $field: $ty, )* }

        impl $name {
            /// Shows every memory slot and how it is used. Scratch is given by its size only.
            pub fn visit(&mut self, f: &mut dyn FnMut(Access, &mut Slot)) {
                $( $( visit_field!(self.$field, $access, f); )? )*
                let _ = f;
            }
        }
    )* };
}

/// Declares the [`Op`] enum over descriptors.
macro_rules! ops {
    ($( $name:ident ),* $(,)?) => {
        /// One operation of a program.
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[allow(clippy::large_enum_variant)]
        pub enum Op { $(
            #[doc = concat!("See [`struct@", stringify!($name), "`].")]
            $name($name),
        )* }

        impl Op {
            /// The descriptor's name.
            pub const fn name(&self) -> &'static str {
                match self { $( Op::$name(_) => stringify!($name), )* }
            }

            /// Shows every memory slot and how it is used.
            pub fn visit(&mut self, f: &mut dyn FnMut(Access, &mut Slot)) {
                match self { $( Op::$name(op) => op.visit(f), )* }
            }

            /// Carries the operation out.
            ///
            /// # Errors
            /// A [`Fault`](crate::Fault) where a slot does not fit its memory; none on a program that
            /// [`verify`](crate::program::verify) accepts.
            pub fn run(&self, machine: &mut crate::Machine<'_>) -> Result<(), crate::Fault> {
                match self { $( Op::$name(op) => op.run(machine), )* }
            }
        }

        $( impl From<$name> for Op { fn from(op: $name) -> Op { Op::$name(op) } } )*
    };
}

macro_rules! visit_field {
    ($slot:expr, reads, $f:ident) => {
        $slot.read($f)
    };
    ($slot:expr, writes, $f:ident) => {
        $slot.write($f)
    };
    ($slot:expr, updates, $f:ident) => {
        $slot.update($f)
    };
    ($descriptor:expr, visits, $f:ident) => {
        $descriptor.visit($f)
    };
    ($slot:expr, $access:ident, $f:ident) => {
        $f(Access::$access, &mut $slot)
    };
}
