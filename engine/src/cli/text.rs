//! Classes in words.

/// The rhythm `class` stands for in a network that knows `classes`.
///
/// A network of two classes tells atrial fibrillation from everything else, so its `N` is not a normal rhythm.
pub fn rhythm(class: &str, classes: usize) -> &str {
    match class {
        "N" if classes == 2 => "no atrial fibrillation",
        "N" => "normal rhythm",
        "A" => "atrial fibrillation",
        "O" => "other rhythm",
        "F" => "atrial flutter",
        "~" => "too noisy to tell",
        other => other,
    }
}

/// `0.9731` as `97.3 %`; what would round up to certainty stays below it.
pub fn percent(probability: f32) -> String {
    let shown = if probability < 1.0 { probability.min(0.999) } else { 1.0 };
    format!("{:.1} %", shown * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n_of_two_classes_is_not_normal() {
        assert_eq!(
            [rhythm("N", 4), rhythm("N", 2)],
            ["normal rhythm", "no atrial fibrillation"]
        );
    }

    #[test]
    fn only_certainty_is_100_percent() {
        assert_eq!(
            [percent(0.9731), percent(0.9999), percent(1.0)],
            ["97.3 %", "99.9 %", "100.0 %"]
        );
    }
}
