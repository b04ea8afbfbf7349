//! Text to graphs: the inverse of [`super::print`] with full constants.

use std::sync::Arc;

use offshoot_runtime::program::op::Precision;

use super::lex::{tokens, Token};
use super::{Attributes, DType, Data, Fold, Graph, Node, Quant, Rule, Tensor, TensorId, Trained};
use crate::ops::Op;

/// Where text is not a graph, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// What was expected.
    pub message: String,
}

/// The graph that `text` describes. It is not verified.
///
/// # Errors
/// The first line that does not parse.
pub fn parse(text: &str) -> Result<Graph, ParseError> {
    let mut graph = Graph::default();
    for (index, line) in text.lines().enumerate() {
        let error = |message| ParseError { line: index + 1, message };
        let mut cursor = Cursor { tokens: tokens(line).map_err(error)?, at: 0 };
        if cursor.tokens.is_empty() {
            continue;
        }
        parse_line(&mut graph, &mut cursor).map_err(error)?;
        if let Some(token) = cursor.tokens.get(cursor.at) {
            return Err(error(format!("unexpected `{}` at the end", token.text())));
        }
    }
    Ok(graph)
}

fn parse_line(graph: &mut Graph, cursor: &mut Cursor) -> Result<(), String> {
    match cursor.next()? {
        Token::Word(word) if word == "graph" => {
            graph.name = cursor.string()?;
            cursor.word("source")?;
            let hash = cursor.any_word()?;
            let digits = hash.strip_prefix("0x").unwrap_or(&hash);
            graph.source_hash = u64::from_str_radix(digits, 16)
                .map_err(|_| format!("`{hash}` is no hexadecimal hash"))?;
        }
        Token::Word(word) if word == "folded" => {
            let (node, op) = (cursor.string()?, cursor.any_word()?);
            cursor.word("into")?;
            graph.folded.push(Fold { node, op, into: cursor.string()? });
        }
        Token::Word(word) if word == "energy" => {
            graph.feature_energy = Some(cursor.parsed("an energy")?);
        }
        Token::Word(word) if word == "input" => graph.input = Some(cursor.tensor(graph)?),
        Token::Word(word) if word == "output" => graph.output = Some(cursor.tensor(graph)?),
        Token::Tensor(index) => {
            let expected = graph.tensors().count();
            if index != expected {
                return Err(format!("tensor %{index} is out of order, expected %{expected}"));
            }
            let tensor = parse_tensor(cursor)?;
            graph.add_tensor(tensor);
        }
        Token::Text(name) => {
            let node = parse_node(graph, cursor, name)?;
            graph.add_node(node);
        }
        token => return Err(format!("a line cannot begin with `{}`", token.text())),
    }
    Ok(())
}

fn parse_tensor(cursor: &mut Cursor) -> Result<Tensor, String> {
    let name = cursor.string()?;
    let dtype = cursor.any_word()?;
    let dtype = DType::from_name(&dtype).ok_or_else(|| format!("there is no type `{dtype}`"))?;
    let mut tensor = Tensor::computed(name, dtype, cursor.integers()?);
    while let Some(Token::Word(word)) = cursor.peek().cloned() {
        cursor.at += 1;
        match word.as_str() {
            "scale" => {
                let scale = if cursor.peek() == Some(&Token::Mark('[')) {
                    cursor.list(|word| word.parse().map_err(|_| format!("`{word}` is no scale")))?
                } else {
                    vec![cursor.parsed("a scale")?]
                };
                tensor.quant = Some(Quant { scale, zero: 0, axis: 0 });
            }
            "axis" | "zero" => {
                let quant = tensor.quant.as_mut().ok_or(format!("`{word}` without a scale"))?;
                match word.as_str() {
                    "axis" => quant.axis = cursor.parsed("an axis")?,
                    _ => quant.zero = cursor.parsed("a zero point")?,
                }
            }
            "frozen" => tensor.frozen = true,
            "adapter" => tensor.adapter = true,
            "trained" => {
                let precision = match cursor.any_word()?.as_str() {
                    "residual" => Precision::Residual,
                    "stochastic" => Precision::Stochastic,
                    "sign" => Precision::Sign,
                    "picked" => Precision::Picked,
                    other => {
                        return Err(format!(
                            "`{other}` is none of residual, stochastic, sign and picked"
                        ));
                    }
                };
                tensor.trained = Some(Trained::plain(precision, None));
            }
            "channels" => {
                let trained = tensor.trained.as_mut().ok_or("`channels` of what is not trained")?;
                trained.channels = Some(cursor.integers()?);
            }
            "picks" => {
                let trained = tensor.trained.as_mut().ok_or("`picks` of what is not trained")?;
                trained.picks = cursor.integers()?;
            }
            "pace" => {
                let trained = tensor.trained.as_mut().ok_or("`pace` of what is not trained")?;
                trained.pace = cursor.parsed("a pace")?;
            }
            "normed" | "orthonormal" => {
                let what = format!("`{word}` of what is not trained");
                let trained = tensor.trained.as_mut().ok_or(what)?;
                trained.rule = parse_rule(cursor, &word)?;
            }
            "data" => {
                if matches!(cursor.peek(), Some(Token::Word(hash)) if hash.starts_with('#')) {
                    return Err("data were left out when this was printed".into());
                }
                tensor.data = Some(match tensor.dtype {
                    DType::I8 => Data::I8(Arc::new(cursor.integers()?)),
                    DType::I16 => Data::I16(Arc::new(cursor.integers()?)),
                    DType::I32 => Data::I32(Arc::new(cursor.integers()?)),
                    DType::F32 => Data::F32(Arc::new(cursor.reals()?)),
                    other => return Err(format!("a tensor of type {} has no data", other.name())),
                });
            }
            other => return Err(format!("there is no tensor property `{other}`")),
        }
    }
    Ok(tensor)
}

fn parse_rule(cursor: &mut Cursor, word: &str) -> Result<Rule, String> {
    let columns = match word {
        "normed" => None,
        _ => Some(match cursor.any_word()?.as_str() {
            "rows" => false,
            "columns" => true,
            other => return Err(format!("`{other}` is neither rows nor columns")),
        }),
    };
    let numbers = cursor.reals::<f32>()?;
    match (columns, numbers.as_slice()) {
        (None, &[size, most]) => Ok(Rule::Normed { size, most }),
        (Some(columns), &[size, strength]) => Ok(Rule::Orthonormal { size, strength, columns }),
        _ => Err(format!("`{word}` takes two numbers, not {}", numbers.len())),
    }
}

fn parse_node(graph: &Graph, cursor: &mut Cursor, name: String) -> Result<Node, String> {
    let op = cursor.any_word()?;
    let inputs = cursor.tensors(graph)?;
    cursor.mark('>')?;
    let outputs = cursor.tensors(graph)?;
    cursor.mark('{')?;
    let mut attributes = Attributes::new();
    while cursor.peek() != Some(&Token::Mark('}')) {
        let key = cursor.any_word()?;
        attributes = attributes.with_real(&key, cursor.reals::<f64>()?);
        if cursor.peek() == Some(&Token::Mark(',')) {
            cursor.at += 1;
        }
    }
    cursor.mark('}')?;
    let op =
        Op::from_attributes(&op, &attributes).map_err(|why| format!("node {name:?}: {why}"))?;
    Ok(Node { name, op, inputs, outputs })
}

struct Cursor {
    tokens: Vec<Token>,
    at: usize,
}

impl Cursor {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("the line ends too early")?;
        self.at += 1;
        Ok(token)
    }

    fn any_word(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            token => Err(format!("expected a word, found `{}`", token.text())),
        }
    }

    fn word(&mut self, expected: &str) -> Result<(), String> {
        match self.any_word()? {
            word if word == expected => Ok(()),
            word => Err(format!("expected `{expected}`, found `{word}`")),
        }
    }

    fn mark(&mut self, expected: char) -> Result<(), String> {
        match self.next()? {
            Token::Mark(mark) if mark == expected => Ok(()),
            token => {
                let expected = Token::Mark(expected).text();
                Err(format!("expected `{expected}`, found `{}`", token.text()))
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Text(text) => Ok(text),
            token => Err(format!("expected a quoted name, found `{}`", token.text())),
        }
    }

    fn parsed<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, String> {
        let word = self.any_word()?;
        word.parse().map_err(|_| format!("`{word}` is not {what}"))
    }

    fn list<T>(&mut self, item: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
        self.mark('[')?;
        let mut items = Vec::new();
        while self.peek() != Some(&Token::Mark(']')) {
            items.push(item(&self.any_word()?)?);
            if self.peek() == Some(&Token::Mark(',')) {
                self.at += 1;
            }
        }
        self.mark(']')?;
        Ok(items)
    }

    fn integers<T: std::str::FromStr>(&mut self) -> Result<Vec<T>, String> {
        self.list(|word| word.parse().map_err(|_| format!("`{word}` is no integer in range")))
    }

    fn reals<T: std::str::FromStr>(&mut self) -> Result<Vec<T>, String> {
        self.list(|word| word.parse().map_err(|_| format!("`{word}` is no number")))
    }

    fn tensor(&mut self, graph: &Graph) -> Result<TensorId, String> {
        match self.next()? {
            Token::Tensor(index) if index < graph.tensors().count() => Ok(TensorId::new(index)),
            token => Err(format!("`{}` is no tensor of this graph", token.text())),
        }
    }

    fn tensors(&mut self, graph: &Graph) -> Result<Vec<TensorId>, String> {
        let mut tensors = Vec::new();
        while matches!(self.peek(), Some(Token::Tensor(_))) {
            tensors.push(self.tensor(graph)?);
        }
        Ok(tensors)
    }
}
