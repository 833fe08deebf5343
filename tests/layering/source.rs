//! Rust's text as words, without comments, strings and tests.

/// A word, a mark, `::`, or [`LITERAL`] in the place of a string or a character.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

pub(crate) const LITERAL: &str = "\"";

/// A file's text, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// What is left without tests and without exported macros, whose bodies are text of the crates that call
    /// them.
    pub(crate) tokens: Vec<Token>,
    /// The modules declared under `#[cfg(test)]`: their files are tests.
    pub(crate) test_modules: Vec<String>,
    /// How many lines the file has without its tests.
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let all = tokens(text);
        let mut source = Self { lines: text.lines().count(), ..Self::default() };
        let mut at = 0;
        while at < all.len() {
            let Some(attribute) = Attribute::at(&all, at) else {
                source.tokens.push(all[at].clone());
                at += 1;
                continue;
            };
            let test = attribute.is_test();
            if !test && !attribute.is_exported_macro() {
                source.tokens.extend_from_slice(&all[at..attribute.end]);
                at = attribute.end;
                continue;
            }
            let end = if attribute.inner { all.len() } else { end_of_item(&all, attribute.end) };
            if test {
                source.lines -= all[end - 1].line - all[at].line + 1;
                source.test_modules.extend(declared_module(&all[attribute.end..end]));
            }
            at = end;
        }
        source
    }
}

/// `#[…]` or `#![…]`.
struct Attribute<'a> {
    inner: bool,
    body: &'a [Token],
    /// The place of the token after it.
    end: usize,
}

impl<'a> Attribute<'a> {
    fn at(tokens: &'a [Token], at: usize) -> Option<Self> {
        let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
        let inner = is(at + 1, "!");
        let open = at + 1 + usize::from(inner);
        if !is(at, "#") || !is(open, "[") {
            return None;
        }
        let end = after_bracket(tokens, open);
        Some(Self { inner, body: &tokens[open + 1..end - 1], end })
    }

    /// Whether what it stands on is compiled for tests alone.
    fn is_test(&self) -> bool {
        match self.body {
            [cfg, _, condition @ .., _] if cfg.text == "cfg" => needs_test(condition),
            _ => false,
        }
    }

    fn is_exported_macro(&self) -> bool {
        self.body.first().is_some_and(|word| word.text == "macro_export")
    }
}

/// Whether a condition of `cfg` holds in tests alone.
fn needs_test(condition: &[Token]) -> bool {
    let Some((first, rest)) = condition.split_first() else { return false };
    let mut parts = rest.get(1..rest.len().saturating_sub(1)).map(parts).unwrap_or_default().into_iter();
    match first.text.as_str() {
        "test" => true,
        "all" => parts.any(needs_test),
        "any" => parts.len() > 0 && parts.all(needs_test),
        _ => false,
    }
}

/// What stands between the commas that are in no bracket.
fn parts(list: &[Token]) -> Vec<&[Token]> {
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, token) in list.iter().enumerate() {
        match token.text.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            "," if depth == 0 => {
                parts.push(&list[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[begin..]);
    parts
}

/// The place after the bracket that closes the one at `open`.
fn after_bracket(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The place after the item, the field or the match arm that begins at `at`.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    const ITEMS: [&str; 16] = [
        "pub",
        "mod",
        "use",
        "fn",
        "impl",
        "struct",
        "enum",
        "trait",
        "const",
        "static",
        "type",
        "async",
        "unsafe",
        "extern",
        "macro_rules",
        "let",
    ];
    while let Some(attribute) = Attribute::at(tokens, at) {
        at = attribute.end;
    }
    // The commas of `fn f<A, B>()` end no item; a field ends at its comma.
    let is_item = tokens.get(at).is_some_and(|token| ITEMS.contains(&token.text.as_str()));
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => return after_bracket(tokens, at),
            "(" | "[" => at = after_bracket(tokens, at),
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            ")" | "]" | "}" => return at,
            _ => at += 1,
        }
    }
    at
}

/// The name, where the item is `mod name;`.
fn declared_module(item: &[Token]) -> Option<String> {
    match item {
        [.., module, name, end] if module.text == "mod" && end.text == ";" => Some(name.text.clone()),
        _ => None,
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let letters: Vec<char> = text.chars().collect();
    let mut reader = Reader { letters: &letters, at: 0, line: 1, tokens: Vec::new() };
    while reader.at < letters.len() {
        reader.token();
    }
    reader.tokens
}

struct Reader<'a> {
    letters: &'a [char],
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Reader<'_> {
    fn peek(&self, further: usize) -> Option<char> {
        self.letters.get(self.at + further).copied()
    }

    fn skip(&mut self, letters: usize) {
        let end = (self.at + letters).min(self.letters.len());
        self.line += self.letters[self.at..end].iter().filter(|letter| **letter == '\n').count();
        self.at = end;
    }

    fn push(&mut self, text: impl Into<String>) {
        self.tokens.push(Token { text: text.into(), line: self.line });
    }

    fn token(&mut self) {
        let (Some(letter), next) = (self.peek(0), self.peek(1)) else { return };
        match (letter, next) {
            ('/', Some('/')) => self.skip_while(|letter| letter != '\n'),
            ('/', Some('*')) => self.block_comment(),
            ('"', _) => self.string(),
            ('\'', _) => self.quote(),
            (':', Some(':')) => {
                self.push("::");
                self.skip(2);
            }
            _ if is_word(letter) => self.word(),
            _ if letter.is_whitespace() => self.skip(1),
            _ => {
                self.push(letter);
                self.skip(1);
            }
        }
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&keep) {
            self.skip(1);
        }
    }

    /// Block comments stand inside one another.
    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => {
                    self.skip(1);
                    continue;
                }
            }
            self.skip(2);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.push(LITERAL);
        self.skip(1);
        while let Some(letter) = self.peek(0) {
            self.skip(if letter == '\\' { 2 } else { 1 });
            if letter == '"' {
                return;
            }
        }
    }

    /// `r"…"` with `hashes` times `#` around it, which stand next.
    fn raw_string(&mut self, hashes: usize) {
        self.push(LITERAL);
        self.skip(hashes + 1);
        while let Some(letter) = self.peek(0) {
            self.skip(1);
            if letter == '"' && (0..hashes).all(|hash| self.peek(hash) == Some('#')) {
                return self.skip(hashes);
            }
        }
    }

    /// A character, or a lifetime, which is left out.
    fn quote(&mut self) {
        match (self.peek(1), self.peek(2)) {
            (Some('\\'), _) => {
                self.push(LITERAL);
                self.skip(3);
                self.skip_while(|letter| letter != '\'');
                self.skip(1);
            }
            (_, Some('\'')) => {
                self.push(LITERAL);
                self.skip(3);
            }
            _ => {
                self.skip(1);
                self.skip_while(is_word);
            }
        }
    }

    /// A name, a keyword, a number; or the letters before a string.
    fn word(&mut self) {
        let begin = self.at;
        self.skip_while(is_word);
        let word: String = self.letters[begin..self.at].iter().collect();
        let hashes = self.letters[self.at..].iter().take_while(|letter| **letter == '#').count();
        match (word.as_str(), self.peek(0), self.peek(hashes)) {
            ("r" | "br" | "cr", _, Some('"')) => self.raw_string(hashes),
            ("b" | "c", Some('"'), _) => self.string(),
            ("b", Some('\''), _) => self.quote(),
            // `r#use` is a name.
            ("r", Some('#'), Some(letter)) if hashes == 1 && is_word(letter) => {
                self.push("r#");
                self.skip(1);
                self.skip_while(is_word);
            }
            _ => self.push(word),
        }
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
