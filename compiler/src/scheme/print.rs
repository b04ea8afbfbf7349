//! Update schemes as text, in the forms that [`Scheme::from_short`] and [`Scheme::from_toml`] read.

use std::fmt::Write;

use offshoot_runtime::program::op::Precision;

use super::{Layer, Layers, Loss, Optimizer, Scheme};

impl Scheme {
    /// The short form; none where that cannot say it: biases of a list of layers, names that are not
    /// read back as such, or class weights.
    pub fn short(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.precision == Precision::Stochastic {
            parts.push("stochastic".to_string());
        }
        match &self.biases {
            Layers::Last(0) => {}
            Layers::Last(count) => parts.push(format!("biases={count}")),
            Layers::Word(word) => parts.push(format!("biases={word}")),
            Layers::Named(_) => return None,
        }
        for rule in &self.weights {
            let layer = match &rule.layer {
                Layer::Index(index) => index.to_string(),
                Layer::Name(name) if is_plain(name) => name.clone(),
                Layer::Name(_) => return None,
            };
            parts.push(format!("{layer}:{}", rule.channels));
        }
        match &self.loss {
            Loss::Softmax { weights, .. } if !weights.is_empty() => return None,
            Loss::Softmax { smoothing, .. } if *smoothing == 0.0 => {}
            Loss::Softmax { smoothing, .. } => parts.push(format!("smoothing={smoothing}")),
            other => parts.push(format!("loss={}", other.name())),
        }
        let Optimizer { momentum, momentum_bits, batch } = self.optimizer;
        if momentum > 0.0 {
            parts.push(format!("momentum={momentum},momentum-bits={momentum_bits}"));
        }
        if batch > 1 {
            parts.push(format!("batch={batch}"));
        }
        Some(if parts.is_empty() { "head".to_string() } else { parts.join(",") })
    }

    /// The file's form, of which every scheme has one.
    pub fn toml(&self) -> String {
        let precision = match self.precision {
            Precision::Residual => "residual",
            Precision::Stochastic => "stochastic",
            // Only adapters train these.
            Precision::Sign | Precision::Picked => "residual",
        };
        let biases = self.biases.toml();
        let mut text = format!("precision = \"{precision}\"\nbiases = {biases}\n");
        // Writing to a String cannot fail.
        for rule in &self.weights {
            let (layer, share) = (rule.layer.toml(), rule.channels);
            let _ = write!(text, "\n[[weights]]\nlayer = {layer}\nchannels = {share:?}\n");
        }
        let _ = write!(text, "\n[loss]\nkind = \"{}\"\n", self.loss.name());
        if let Loss::Softmax { smoothing, weights } = &self.loss {
            let _ = writeln!(text, "smoothing = {smoothing:?}\nweights = {weights:?}");
        }
        let Optimizer { momentum, momentum_bits, batch } = self.optimizer;
        let _ = write!(text, "\n[optimizer]\nmomentum = {momentum:?}\nbatch = {batch}\n");
        if momentum > 0.0 {
            let _ = writeln!(text, "momentum-bits = {momentum_bits}");
        }
        text
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

impl Layer {
    fn toml(&self) -> String {
        match self {
            Layer::Index(index) => index.to_string(),
            Layer::Name(name) => quoted(name),
        }
    }
}

impl Layers {
    /// As a value of a file.
    pub(crate) fn toml(&self) -> String {
        match self {
            Layers::Last(count) => count.to_string(),
            Layers::Word(word) => quoted(word),
            Layers::Named(layers) => {
                format!("[{}]", layers.iter().map(Layer::toml).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Whether the short form reads `name` as the name of a layer, also from between a shell's quotes.
fn is_plain(name: &str) -> bool {
    name.parse::<usize>().is_err()
        && !name.is_empty()
        && name.trim() == name
        && !name.contains(|c: char| matches!(c, ',' | '=' | '\'') || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::super::WeightRule;
    use super::*;

    fn schemes() -> Vec<Scheme> {
        let mut schemes: Vec<Scheme> = [
            "head",
            "biases=all",
            "stochastic,biases=3,0:1,24:1/3,last:0.25",
            "loss=sigmoid,momentum=0.9,batch=8",
            "smoothing=0.1,momentum=1/3,momentum-bits=8",
            "loss=mean-square,a/b:c:1",
        ]
        .into_iter()
        .map(|short| Scheme::from_short(short).unwrap())
        .collect();
        let rule = |name: &str| WeightRule { layer: Layer::Name(name.into()), channels: 0.7 };
        for name in ["a,b", "x=y", "12", " edge", "", "two\nlines", "it's", "\"quoted\""] {
            schemes.push(Scheme { weights: vec![rule(name)], ..Scheme::default() });
        }
        let list = vec![Layer::Index(4), Layer::Name("stem".into())];
        schemes.push(Scheme { biases: Layers::Named(list), ..Scheme::default() });
        let loss = Loss::Softmax { smoothing: 0.25, weights: vec![1.0, 2.5, 0.0] };
        schemes.push(Scheme { loss, ..Scheme::default() });
        schemes
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut short_forms = 0;
        for scheme in schemes() {
            assert_eq!(
                Scheme::from_toml(&scheme.toml()).as_ref(),
                Ok(&scheme),
                "{}",
                scheme.toml()
            );
            if let Some(short) = scheme.short() {
                assert_eq!(Scheme::from_short(&short).as_ref(), Ok(&scheme), "{short}");
                short_forms += 1;
            }
        }
        // All but seven names, the list of biases and the class weights.
        assert_eq!(short_forms, 7);
    }
}
