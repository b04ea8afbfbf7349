//! Functions of one real number, and their derivatives.

use crate::ir::Attributes;

/// A function of one real number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `x` where positive, else `alpha x`.
    LeakyRelu(f32),
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `alpha x + beta` between 0 and 1.
    HardSigmoid([f32; 2]),
    /// `x` times the hard sigmoid of slope 1/6 around 1/2.
    HardSwish,
    /// Hyperbolic tangent.
    Tanh,
    /// `x Phi(x)`, Phi being the normal distribution.
    Gelu,
    /// Its approximation by a hyperbolic tangent.
    GeluTanh,
    /// `x` times its sigmoid.
    Silu,
    /// `x` where positive, else `alpha (exp(x) - 1)`.
    Elu(f32),
    /// Error function.
    Erf,
    /// `-x`.
    Negate,
}

/// Of the hyperbolic tangent that stands for the normal distribution: Hendrycks and Gimpel, Gaussian
/// Error Linear Units, 2016.
const CUBIC: f64 = 0.044715;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The normal distribution and its density.
fn normal(x: f64) -> [f64; 2] {
    let below = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
    [below, (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()]
}

impl Function {
    /// Name and parameters.
    fn parts(&self) -> (&'static str, Vec<f32>) {
        match *self {
            Function::LeakyRelu(alpha) => ("leaky_relu", vec![alpha]),
            Function::Sigmoid => ("sigmoid", vec![]),
            Function::HardSigmoid(line) => ("hard_sigmoid", line.to_vec()),
            Function::HardSwish => ("hard_swish", vec![]),
            Function::Tanh => ("tanh", vec![]),
            Function::Gelu => ("gelu", vec![]),
            Function::GeluTanh => ("gelu_tanh", vec![]),
            Function::Silu => ("silu", vec![]),
            Function::Elu(alpha) => ("elu", vec![alpha]),
            Function::Erf => ("erf", vec![]),
            Function::Negate => ("negate", vec![]),
        }
    }

    /// One attribute, called like the function, with its parameters.
    pub fn attributes(&self) -> Attributes {
        let (name, parameters) = self.parts();
        Attributes::new().with_real(name, parameters)
    }

    /// The function that attributes describe.
    ///
    /// # Errors
    /// Where they name none, or its parameters are missing.
    pub fn from_attributes(attributes: &Attributes) -> Result<Function, String> {
        let Some((name, _)) = attributes.iter().next() else {
            return Err("attributes name no function".into());
        };
        let missing = || format!("function `{name}` misses its parameters");
        let one = || attributes.find_real::<1>(name)?.ok_or_else(missing).map(|[value]| value);
        Ok(match name {
            "leaky_relu" => Function::LeakyRelu(one()?),
            "sigmoid" => Function::Sigmoid,
            "hard_sigmoid" => {
                Function::HardSigmoid(attributes.find_real(name)?.ok_or_else(missing)?)
            }
            "hard_swish" => Function::HardSwish,
            "tanh" => Function::Tanh,
            "gelu" => Function::Gelu,
            "gelu_tanh" => Function::GeluTanh,
            "silu" => Function::Silu,
            "elu" => Function::Elu(one()?),
            "erf" => Function::Erf,
            "negate" => Function::Negate,
            _ => return Err(format!("there is no function `{name}`")),
        })
    }

    /// Its value at `x`.
    pub fn value(&self, x: f64) -> f64 {
        match *self {
            Function::LeakyRelu(alpha) => x * if x >= 0.0 { 1.0 } else { f64::from(alpha) },
            Function::Sigmoid => sigmoid(x),
            Function::HardSigmoid([alpha, beta]) => {
                (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0)
            }
            Function::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Function::Tanh => x.tanh(),
            Function::Gelu => x * normal(x)[0],
            Function::GeluTanh => x * 0.5 * (1.0 + gelu_inner(x)[0].tanh()),
            Function::Silu => x * sigmoid(x),
            Function::Elu(alpha) => {
                if x >= 0.0 {
                    x
                } else {
                    f64::from(alpha) * x.exp_m1()
                }
            }
            Function::Erf => libm::erf(x),
            Function::Negate => -x,
        }
    }

    /// Where it has no derivative, ascending.
    pub fn corners(&self) -> Vec<f64> {
        match *self {
            Function::LeakyRelu(_) | Function::Elu(_) => vec![0.0],
            Function::HardSigmoid([alpha, beta]) => {
                let [low, high] = [0.0, 1.0].map(|y| (y - f64::from(beta)) / f64::from(alpha));
                vec![low.min(high), low.max(high)]
            }
            Function::HardSwish => vec![-3.0, 3.0],
            _ => vec![],
        }
    }

    /// Its derivative at `x`; at a corner, that from the right.
    pub fn slope(&self, x: f64) -> f64 {
        match *self {
            Function::LeakyRelu(alpha) => {
                if x >= 0.0 {
                    1.0
                } else {
                    f64::from(alpha)
                }
            }
            Function::Sigmoid => sigmoid(x) * sigmoid(-x),
            Function::HardSigmoid([alpha, beta]) => {
                let y = f64::from(alpha) * x + f64::from(beta);
                if (0.0..1.0).contains(&y) {
                    f64::from(alpha)
                } else {
                    0.0
                }
            }
            Function::HardSwish if x < -3.0 => 0.0,
            Function::HardSwish if x >= 3.0 => 1.0,
            Function::HardSwish => x / 3.0 + 0.5,
            Function::Tanh => 1.0 - x.tanh().powi(2),
            Function::Gelu => {
                let [below, density] = normal(x);
                below + x * density
            }
            Function::GeluTanh => {
                let [inner, steep] = gelu_inner(x);
                let t = inner.tanh();
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * steep
            }
            Function::Silu => sigmoid(x) * (1.0 + x * sigmoid(-x)),
            Function::Elu(alpha) => {
                if x >= 0.0 {
                    1.0
                } else {
                    f64::from(alpha) * x.exp()
                }
            }
            Function::Erf => std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp(),
            Function::Negate => -1.0,
        }
    }
}

/// What [`Function::GeluTanh`] takes the tangent of, and its derivative.
fn gelu_inner(x: f64) -> [f64; 2] {
    let factor = (2.0 / std::f64::consts::PI).sqrt();
    [factor * (x + CUBIC * x.powi(3)), factor * (1.0 + 3.0 * CUBIC * x * x)]
}

#[cfg(test)]
mod tests {
    use super::Function;

    const ALL: [Function; 11] = [
        Function::LeakyRelu(0.1),
        Function::Sigmoid,
        Function::HardSigmoid([0.2, 0.5]),
        Function::HardSwish,
        Function::Tanh,
        Function::Gelu,
        Function::GeluTanh,
        Function::Silu,
        Function::Elu(0.7),
        Function::Erf,
        Function::Negate,
    ];

    #[test]
    fn slopes_are_those_of_the_values() {
        for function in ALL {
            for at in -60..60 {
                let (x, h) = (f64::from(at) * 0.1, 1e-5);
                if function.corners().iter().any(|corner| (x - corner).abs() < 2.0 * h) {
                    continue;
                }
                let difference = (function.value(x + h) - function.value(x - h)) / (2.0 * h);
                let slope = function.slope(x);
                assert!((slope - difference).abs() < 1e-8, "{function:?} at {x}: {slope}");
            }
        }
    }

    #[test]
    fn attributes_name_the_function() {
        for function in ALL {
            assert_eq!(Function::from_attributes(&function.attributes()), Ok(function));
        }
        let unknown = crate::ir::Attributes::new().with("sine", []);
        assert!(Function::from_attributes(&unknown).is_err());
    }
}
