//! The sample, received in rows in place of being there as a whole.

use offshoot_runtime::program::op::Receive;

use super::Lowered;

impl Lowered {
    /// The same program, but its first op receives the sample: in bands, that and what follows need
    /// but a few rows of it at a time.
    pub fn receiving(mut self) -> Lowered {
        let output = std::mem::take(&mut self.header.input);
        if !output.is_empty() {
            self.ops.insert(0, Receive { output, first: 0 }.into());
            self.names.insert(0, "sample".into());
            self.macs.insert(0, 0);
            self.header.forward += 1;
        }
        self
    }
}
