//! The orders that are compiled.

use super::rational::Rational;

/// Coefficients in the smallest compiled order that holds them. Every published fit is of order 5/4 or below.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Order {
    UpTo5Over4(Rational<6, 4>),
    UpTo15Over16(Box<Rational<16, 16>>),
}

impl Order {
    /// At most 16 coefficients each.
    pub(super) fn new(numerator: &[f32], denominator: &[f32]) -> Self {
        if numerator.len() <= 6 && denominator.len() <= 4 {
            Self::UpTo5Over4(Rational::new(numerator, denominator))
        } else {
            Self::UpTo15Over16(Box::new(Rational::new(numerator, denominator)))
        }
    }
}

/// Evaluates an expression, generic over the order, for a unit's [`Rational`].
macro_rules! with_order {
    ($pau:expr, $rational:ident => $body:expr) => {
        match &$pau.kernel {
            $crate::pau::order::Order::UpTo5Over4($rational) => $body,
            $crate::pau::order::Order::UpTo15Over16(boxed) => {
                let $rational = &**boxed;
                $body
            }
        }
    };
}
pub(super) use with_order;
