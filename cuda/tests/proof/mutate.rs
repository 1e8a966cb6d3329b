//! Finds what could be wrong in a kernel by one small edit, and writes all of it into one copy that can be wrong in any of these ways.
//!
//! Every `[i]` may read one element further, and so may the index of an access to a pack; every barrier may be missing, and so may what one
//! block tells another and its waiting for that; every bounds
//! mask (`inside`) may hold always; every loop may go round once too often, unless its line says why that is harmless.

/// One possible edit.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    /// Line of the source, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// The copy, and what each site of it can get wrong.
pub fn mutants(source: &str) -> (String, Vec<Mutation>) {
    let mut sites = Vec::new();
    let mut copy = String::new();
    for (number, line) in source.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if code.trim_start().starts_with('#') || code.contains("static_assert") || code.contains("SHARED(") {
            copy.push_str(line);
        } else {
            let mut add = |what| {
                sites.push(Mutation { line: number + 1, what });
                format!("host::mutated({})", sites.len() - 1)
            };
            copy.push_str(&rewrite(code, line.contains("// harmless once more: "), &mut add));
        }
        copy.push('\n');
    }
    (copy, sites)
}

fn rewrite(code: &str, harmless: bool, add: &mut dyn FnMut(&'static str) -> String) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(next) = rest.chars().next() {
        if let Some((call, what)) = BARRIERS.iter().find(|(call, _)| rest.starts_with(call)) {
            out.push_str(&format!("({} ? void() : {call})", add(what)));
            rest = &rest[call.len()..];
        } else if let Some((call, what)) = MESSAGES.iter().find(|(call, _)| rest.starts_with(call)) {
            let (arguments, after) = enclosed(&rest[call.len() - 1..]);
            let site = add(what);
            let mut parts = split_arguments(arguments);
            let fewer = parts
                .get(2)
                .map(|count| format!("({count}) - {}", add("a block waits for one fewer")));
            if let Some(fewer) = &fewer {
                parts[2] = fewer;
            }
            out.push_str(&format!("({site} ? void() : {call}{}))", parts.join(", ")));
            rest = after;
        } else if rest.starts_with("inside(") && !ends_in_word(&out) {
            let (arguments, after) = enclosed(&rest["inside".len()..]);
            let site = add("a bounds mask holds always");
            out.push_str(&format!("({site} || inside({}))", rewrite(arguments, harmless, add)));
            rest = after;
        } else if let Some(name) = PACKS.iter().find(|name| rest.starts_with(**name)) {
            let open = match name.ends_with('(') {
                true => name.len() - 1,
                false => rest.find(">(").map_or(rest.len(), |at| at + 1),
            };
            let (arguments, after) = enclosed(&rest[open..]);
            let mut parts = split_arguments(arguments);
            let shifted = format!(
                "({}) + {}",
                rewrite(parts[1], harmless, add),
                add("a pack is one element further")
            );
            parts[1] = &shifted;
            out.push_str(&format!("{}({})", &rest[..open], parts.join(", ")));
            rest = after;
        } else if next == '[' && (ends_in_word(&out) || out.ends_with([']', ')'])) {
            let (index, after) = enclosed(rest);
            let index = rewrite(index, harmless, add);
            out.push_str(&format!("[({index}) + {}]", add("an index is one too large")));
            rest = after;
        } else if let Some(comparison) = LOOPS
            .iter()
            .find(|comparison| rest.starts_with(**comparison) && code.contains("for (") && !harmless)
        {
            out.push_str(&format!("{comparison}{} + ", add("a loop goes round once more")));
            rest = &rest[comparison.len()..];
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

const BARRIERS: [(&str, &str); 2] = [
    ("block_barrier()", "a block's barrier is missing"),
    ("warp_barrier()", "a warp's barrier is missing"),
];
const MESSAGES: [(&str, &str); 2] = [
    ("publish(", "a block does not say that it is done"),
    ("wait_for(", "a block does not wait for another"),
];
const PACKS: [&str; 4] = ["load_pack<", "load_shared<", "store_pack<", "load_fresh("];
const LOOPS: [&str; 2] = [" < ", " <= "];

fn ends_in_word(text: &str) -> bool {
    text.ends_with(|last: char| last.is_alphanumeric() || last == '_')
}

/// What the bracket at the start of `text` encloses, and what follows its partner. Nothing in the kernels spreads a call of interest
/// over lines; a partner that is missing is a mistake of the test's.
fn enclosed(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (at, next) in text.char_indices() {
        match next {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&text[1..at], &text[at + 1..]);
        }
    }
    panic!("a bracket is not closed on its line: {text}");
}

fn split_arguments(arguments: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, next) in arguments.char_indices() {
        match next {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(arguments[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(arguments[start..].trim());
    parts
}

#[test]
fn edits_are_found_and_written_in() {
    let (copy, sites) =
        mutants("a[i][b[k]] = 1;  // c[0]\nfor (i32 i = 0; i < n; ++i) {\n#define X y[0]\nblock_barrier();\n");
    let lines: Vec<&str> = copy.lines().collect();
    assert_eq!(
        lines[0].trim_end(),
        "a[(i) + host::mutated(0)][(b[(k) + host::mutated(1)]) + host::mutated(2)] = 1;"
    );
    assert_eq!(lines[1], "for (i32 i = 0; i < host::mutated(3) + n; ++i) {");
    assert_eq!(lines[2], "#define X y[0]");
    assert_eq!(lines[3], "(host::mutated(4) ? void() : block_barrier());");
    assert_eq!(sites.len(), 5);
    let (copy, sites) = mutants("if (p && inside(f(a, b), n)) { store_pack<PACK<T>>(m, i, x); }");
    assert_eq!(
        copy.trim_end(),
        "if (p && (host::mutated(0) || inside(f(a, b), n))) { store_pack<PACK<T>>(m, (i) + host::mutated(1), x); }"
    );
    assert_eq!(sites.len(), 2);
    let (copy, sites) = mutants("x = load_fresh(m, i); wait_for(c, f(i), n);");
    assert_eq!(
        copy.trim_end(),
        "x = load_fresh(m, (i) + host::mutated(0)); (host::mutated(1) ? void() : wait_for(c, f(i), (n) - host::mutated(2)));"
    );
    assert_eq!(sites.len(), 3);
}
