//! The networks, data and schemes that tests of whole programs share.

use std::path::{Path, PathBuf};

use offshoot::adapt::HeadStart;
use offshoot::import::import;
use offshoot::ir::{Graph, Quant};
use offshoot::pipeline::{compile_in, Compiled, Layout};
use offshoot::quantize::{is_real, quantize, Samples};
use offshoot::scheme::Scheme;
use offshoot_simulator::data::{self, Dataset};

use crate::data_dir;

/// MCUNet with 49 KB of saved activations and trained parameters: the scheme that rivals report.
pub const MCUNET_49KB: &str = "biases=20,24:1/4,27:1/2,30:1/2";

/// A network to train.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name in tests.
    pub name: &'static str,
    /// Model, below the data folder, or below the repository where it begins with `demo` or `tests`. One
    /// of real numbers is quantised by its samples, in steps of 1/32.
    pub model: &'static str,
    /// Samples, likewise.
    pub data: &'static str,
    /// Classes of a new head, or `None` to train the model's own classifier.
    pub classes: Option<usize>,
    /// Update scheme, short form.
    pub scheme: &'static str,
}

/// The network of the demo: its files are part of the repository.
pub const DEMO: Case = Case {
    name: "demo",
    model: "demo/digits_int8qdq.onnx",
    data: "demo/digits_rotated.npz",
    classes: None,
    scheme: "biases=all,stem:1,block1_dw:1/2,block2_expand:1/2,block2_project:1,last:1,stochastic",
};

/// MCUNet on flowers.
pub const MCUNET: Case = Case {
    name: "mcunet-49kb",
    model: "models/mcunetv3/mcunet-5fps_int8qdq.onnx",
    data: "images/flowers5_128_jpeg.npz",
    classes: Some(5),
    scheme: MCUNET_49KB,
};

/// ResNet8 on small pictures: 3x3 convolutions, a convolution on the shortcut, ReLU after sums.
pub const RESNET8: Case = Case {
    name: "resnet8",
    model: "models/mlperf_tiny/pretrainedResnet_quant.onnx",
    data: "images/cifar10_s.npz",
    classes: Some(10),
    scheme: "biases=6,3:1,4:1/2,5:1,7:1/4",
};

/// DS-CNN on spoken digits: a 10x4 kernel with asymmetric padding, depthwise weights trained.
pub const DSCNN: Case = Case {
    name: "ds-cnn",
    model: "models/mlperf_tiny/kws_ref_model.onnx",
    data: "signals/fsdd_mfcc.npz",
    classes: Some(10),
    scheme: "biases=9,0:1,5:1/2,6:1/4,7:1,8:1",
};

/// One block of attention on accelerations; gradients go through it to the first layer.
pub const TRANSFORMER: Case = Case {
    name: "transformer",
    model: "tests/vectors/hmp7_transformer.onnx",
    data: "signals/hmp7_accel.npz",
    classes: Some(7),
    scheme: "biases=all,0:1,/narrow/MatMul:1",
};

/// A convolution and an LSTM both ways, whose steps the gradients of the convolution go through.
pub const LSTM: Case = Case {
    name: "lstm",
    model: "tests/vectors/hmp7_lstm.onnx",
    data: "signals/hmp7_accel.npz",
    classes: Some(7),
    scheme: "biases=all,0:1",
};

/// A GRU on spoken words: of its layers, those over the input of all steps are trained.
pub const GRU: Case = Case {
    name: "gru",
    model: "tests/vectors/wakeword6_gru.onnx",
    data: "signals/wakeword6_mfcc.npz",
    classes: Some(6),
    scheme: "biases=all,0:1,1:1",
};

/// Hard swish, squeeze and excitation, max pool and branches, on spoken words.
pub const MOBILE: Case = Case {
    name: "mobile",
    model: "tests/vectors/wakeword6_mobile.onnx",
    data: "signals/wakeword6_mfcc.npz",
    classes: Some(6),
    scheme: "biases=all,0:1,/last/last.0/Conv:1",
};

/// Folder of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

impl Case {
    fn path(file: &str) -> Option<PathBuf> {
        let own = file.starts_with("demo/") || file.starts_with("tests/");
        let folder = if own { Some(root().to_path_buf()) } else { data_dir() };
        folder.map(|f| f.join(file)).filter(|p| p.is_file())
    }

    /// Its model, where it is there; prints why not.
    pub fn model_path(&self) -> Option<PathBuf> {
        let path = Case::path(self.model);
        if path.is_none() {
            println!("skipped: {} needs {}, which is not here", self.name, self.model);
        }
        path
    }

    /// Whether its files are there; prints why not.
    pub fn is_there(&self) -> bool {
        let missing = [self.model, self.data].into_iter().find(|f| Case::path(f).is_none());
        if let Some(file) = missing {
            println!("skipped: {} needs {file}, which is not here", self.name);
        }
        missing.is_none()
    }

    /// The compiled program, with another scheme if one is given.
    ///
    /// # Panics
    /// Where it does not compile.
    pub fn compile(&self, scheme: Option<&str>) -> Compiled {
        self.compile_in(scheme, Layout::default())
    }

    /// The same in another layout.
    ///
    /// # Panics
    /// Where it does not compile.
    pub fn compile_in(&self, scheme: Option<&str>, layout: Layout) -> Compiled {
        let graph = self.graph();
        let start =
            self.classes.map_or(HeadStart::Classifier, |classes| HeadStart::Zero { classes });
        let scheme = Scheme::from_short(scheme.unwrap_or(self.scheme)).expect("a valid scheme");
        compile_in(&graph, start, &scheme, layout).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// Its int8 network.
    ///
    /// # Panics
    /// Where it cannot be imported.
    pub fn graph(&self) -> Graph {
        let path = Case::path(self.model).expect("is_there");
        self.integers(import(&path).unwrap_or_else(|e| panic!("{e}")))
    }

    /// The int8 network of one of real numbers.
    fn integers(&self, graph: Graph) -> Graph {
        if !is_real(&graph) {
            return graph;
        }
        let path = Case::path(self.data).expect("is_there");
        let input = graph.input.map_or(&[][..], |input| &graph.tensor(input).shape);
        let &[_, h, w, c] = input else { panic!("{}: no map as its input", self.name) };
        let options = data::Options { normalize: Some((0.0, 32.0)), ..Default::default() };
        let reals = data::reals(&path, [h, w, c], &options).unwrap_or_else(|e| panic!("{e}"));
        let input = reals.input.map(|(scale, zero)| Quant::per_tensor(scale, zero));
        let samples = Samples { values: reals.samples, input };
        quantize(&graph, &samples).unwrap_or_else(|e| panic!("{}: {e}", self.name)).0
    }

    /// Its samples, as `compiled` reads them.
    ///
    /// # Panics
    /// Where they do not load.
    pub fn samples(&self, compiled: &Compiled) -> Dataset {
        let path = Case::path(self.data).expect("is_there");
        data::load(&path, &compiled.program.header, &data::Options::default())
            .unwrap_or_else(|e| panic!("{e}"))
    }
}
