//! Words, names and marks of a line of text.

/// A part of a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A keyword or a number.
    Word(String),
    /// A quoted name.
    Text(String),
    /// `%3`.
    Tensor(usize),
    /// Punctuation; `>` stands for `->`.
    Mark(char),
}

impl Token {
    /// As it is written.
    pub(super) fn text(&self) -> String {
        match self {
            Token::Word(word) => word.clone(),
            Token::Text(text) => format!("{text:?}"),
            Token::Tensor(index) => format!("%{index}"),
            Token::Mark('>') => "->".into(),
            Token::Mark(mark) => mark.to_string(),
        }
    }
}

/// What a line consists of, up to a comment.
pub(super) fn tokens(line: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next().filter(|_| !rest.starts_with("//")) {
        let length = match first {
            '"' => {
                let (text, length) = quoted(rest)?;
                tokens.push(Token::Text(text));
                length
            }
            '[' | ']' | '{' | '}' | ',' => {
                tokens.push(Token::Mark(first));
                1
            }
            _ if rest.starts_with("->") => {
                tokens.push(Token::Mark('>'));
                2
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || "[]{},\"".contains(c);
                let length = rest.find(ends).unwrap_or(rest.len());
                let word = &rest[..length];
                tokens.push(match word.strip_prefix('%') {
                    Some(index) => {
                        Token::Tensor(index.parse().map_err(|_| format!("`{word}` is no tensor"))?)
                    }
                    None => Token::Word(word.to_string()),
                });
                length
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The string literal at the start of `text` (as `{:?}` prints it) and how long it is there.
fn quoted(text: &str) -> Result<(String, usize), String> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, at + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, '0')) => value.push('\0'),
                Some((at, 'u')) => {
                    // A code point in hexadecimal: `\u{301}`.
                    let (digits, _) = text[at..].split_once('}').unwrap_or_default();
                    let code = u32::from_str_radix(digits.trim_start_matches("u{"), 16).ok();
                    let c = code.and_then(char::from_u32).ok_or("no character has that code")?;
                    value.push(c);
                    chars.nth(digits.len() - 1);
                }
                Some((_, c @ ('"' | '\\' | '\''))) => value.push(c),
                _ => return Err("unknown escape in a name".into()),
            },
            _ => value.push(c),
        }
    }
    Err("a name has no closing quote".into())
}
