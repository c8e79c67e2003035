//! Which numbers of a schedule make sense.

use gradus_core::{Code, Error, Result};

use super::Schedule;

impl Schedule {
    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// [`Code::Argument`] with the number that does not.
    pub fn validate(&self) -> Result<()> {
        let count = |what: &str, n: u64| match n {
            0 => Err(argument(format!("{what} must be at least 1, not 0"))),
            _ => Ok(()),
        };
        let positive = |what: &str, x: f64| match x > 0.0 && x.is_finite() {
            true => Ok(()),
            false => Err(argument(format!("{what} must be above 0, not {x}"))),
        };
        match self {
            Schedule::Constant { factor, .. } => positive("factor", *factor),
            Schedule::Step { step_size, gamma } => {
                count("step_size", *step_size).and(positive("gamma", *gamma))
            }
            Schedule::MultiStep { milestones, gamma } => {
                if !milestones.is_sorted() {
                    return Err(argument(format!("milestones must rise: {milestones:?}")));
                }
                positive("gamma", *gamma)
            }
            Schedule::Exponential { gamma } => positive("gamma", *gamma),
            Schedule::Linear { start_factor, end_factor, total_iters } => {
                count("total_iters", *total_iters)?;
                if !(*start_factor >= 0.0 && *end_factor >= 0.0) {
                    let text = format!("factors must be 0 or more: {start_factor}, {end_factor}");
                    return Err(argument(text));
                }
                Ok(())
            }
            Schedule::Polynomial { total_iters, power } => {
                count("total_iters", *total_iters).and(positive("power", *power))
            }
            Schedule::InverseTime { decay } => match *decay >= 0.0 && decay.is_finite() {
                true => Ok(()),
                false => Err(argument(format!("decay must be 0 or more, not {decay}"))),
            },
            Schedule::Cosine { t_max, .. } => count("t_max", *t_max),
            Schedule::CosineWarmRestarts { t_0, t_mult, .. } => {
                count("t_0", *t_0).and(count("t_mult", *t_mult))
            }
            Schedule::OneCycle(c) => {
                count("total_steps", c.total_steps)?;
                positive("max_lr", c.max_lr)?;
                positive("div_factor", c.div_factor)?;
                positive("final_div_factor", c.final_div_factor)?;
                match (0.0..=1.0).contains(&c.pct_start) {
                    true => Ok(()),
                    false => {
                        Err(argument(format!("pct_start must be 0 to 1, not {}", c.pct_start)))
                    }
                }
            }
            Schedule::Cyclic(c) => {
                count("step_size_up", c.step_size_up)?;
                count("step_size_down", c.step_size_down.unwrap_or(1))?;
                positive("base_lr", c.base_lr).and(positive("max_lr", c.max_lr))
            }
            Schedule::Noam { d_model, warmup } => {
                count("d_model", *d_model).and(count("warmup", *warmup))
            }
            Schedule::Sequence(parts) => {
                if parts.first().is_none_or(|(from, _)| *from != 0)
                    || !parts.is_sorted_by_key(|(from, _)| *from)
                {
                    return Err(argument("a sequence starts at step 0 and rises".to_string()));
                }
                parts.iter().try_for_each(|(_, s)| s.validate())
            }
            Schedule::Product(parts) => parts.iter().try_for_each(Schedule::validate),
        }
    }
}

fn argument(text: String) -> Error {
    Error::new(Code::Argument, format!("learning-rate schedule: {text}"))
}
