/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * The lists of bpf/ekho_rule.h as tables of Rust, for the module and for user
 * space: the C preprocessor writes them. bindgen knows enumerators, and no text
 * that belongs to them. Who includes the result says what a Key, a Field … is.
 */
#define EKHO_LISTS_ONLY
#include "ekho_rule.h"

#define NAMED(NAME, NUMBER, TEXT) pub(crate) const NAME: Named = Named::new(NUMBER, TEXT);
#define KEY(NAME, NUMBER, TEXT, TYPE) NAMED(NAME, NUMBER, TEXT)
#define FIELD(NAME, NUMBER, TEXT, FORMAT, BITS, KEY) \
	pub(crate) const NAME: Field = Field::new(NUMBER, TEXT, Format::FORMAT, BITS, key::KEY);
#define ACTION(NAME, NUMBER, TEXT, FORMAT, MEMBER) \
	pub(crate) const NAME: Action = Action::new(NUMBER, concat!(TEXT, "\0"), Format::FORMAT);
#define ARG(NAME, NUMBER, TEXT, FORMAT, BITS) \
	pub(crate) const NAME: Field = Field::new(NUMBER, TEXT, Format::FORMAT, BITS, key::UNKNOWN);

pub(crate) mod key {
	use super::Named;
	EKHO_KEY_LIST(KEY)
	pub(crate) const UNKNOWN: Named = Named::new(63, "unknown");
}
pub(crate) mod field {
	use super::{key, Field, Format};
	EKHO_FIELD_LIST(FIELD)
}
pub(crate) mod action {
	use super::{Action, Format};
	EKHO_ACTION_LIST(ACTION)
}
pub(crate) mod arg {
	use super::{key, Field, Format};
	EKHO_ARG_LIST(ARG)
}
pub(crate) mod classifier {
	use super::Named;
	EKHO_CLASSIFIER_LIST(NAMED)
}
pub(crate) mod hook {
	use super::Named;
	EKHO_HOOK_LIST(NAMED)
}
pub(crate) mod hw_stats {
	use super::Named;
	EKHO_HW_STATS_LIST(NAMED)
}

#define IN_KEYS(NAME, NUMBER, TEXT, TYPE) key::NAME,
#define IN_FIELDS(NAME, NUMBER, TEXT, FORMAT, BITS, KEY) field::NAME,
#define IN_ACTIONS(NAME, NUMBER, TEXT, FORMAT, MEMBER) action::NAME,
#define IN_ARGS(NAME, NUMBER, TEXT, FORMAT, BITS) arg::NAME,
#define IN_CLASSIFIERS(NAME, NUMBER, TEXT) classifier::NAME,
#define IN_HOOKS(NAME, NUMBER, TEXT) hook::NAME,
#define IN_HW_STATS(NAME, NUMBER, TEXT) hw_stats::NAME,

pub(crate) const KEYS: &[Named] = &[EKHO_KEY_LIST(IN_KEYS)];
pub(crate) const FIELDS: &[Field] = &[EKHO_FIELD_LIST(IN_FIELDS)];
pub(crate) const ACTIONS: &[Action] = &[EKHO_ACTION_LIST(IN_ACTIONS)];
pub(crate) const ARGS: &[Field] = &[EKHO_ARG_LIST(IN_ARGS)];
pub(crate) const CLASSIFIERS: &[Named] = &[EKHO_CLASSIFIER_LIST(IN_CLASSIFIERS)];
pub(crate) const HOOKS: &[Named] = &[EKHO_HOOK_LIST(IN_HOOKS)];
pub(crate) const HW_STATS: &[Named] = &[EKHO_HW_STATS_LIST(IN_HW_STATS)];

#ifdef EKHO_USER_SPACE
#define NAMES(NAME, NUMBER, TEXT) Named::new(NUMBER, TEXT),

pub(crate) const EVENTS: &[Named] = &[EKHO_EVENT_LIST(NAMES)];
pub(crate) const QDISCS: &[Named] = &[EKHO_QDISC_LIST(NAMES)];
#endif
