// SPDX-License-Identifier: MIT OR Apache-2.0

//! The few lines of a verifier log that say what is wrong.
//!
//! A rejected program leaves thousands of lines of register states. What its
//! author needs is the complaint, the instruction it is about, and the line of C
//! that the instruction came from.

use serde::Serialize;

/// The essence of a verifier log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// What the verifier complained of, usually one line.
    pub complaint: Vec<String>,
    /// The offending instruction, as `5: (85) call bpf_foo#1`.
    pub instruction: Option<String>,
    /// The line of C that the instruction came from, with file and line number.
    pub source: Option<String>,
    /// Lines in the whole log.
    pub log_lines: usize,
}

/// A program that the verifier rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Name of the program.
    pub program: String,
    /// What matters of the log.
    pub excerpt: Excerpt,
    /// The whole log.
    pub log: String,
}

/// Lines of a complaint that are kept.
const COMPLAINT_LINES: usize = 6;

/// Whether a line is statistics that the verifier adds after the complaint.
fn is_statistics(line: &str) -> bool {
    const STARTS: [&str; 6] = [
        "processed ",
        "verification time ",
        "stack depth ",
        "insns processed ",
        "mark_precise",
        "max_states",
    ];
    STARTS.iter().any(|start| line.starts_with(start))
}

/// The instruction of a line such as `5: (85) call bpf_foo#1   ; R0=scalar()`.
fn instruction(line: &str) -> Option<&str> {
    let (index, rest) = line.split_once(": ")?;
    if index.is_empty() || !index.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // libbpf patches what it poisoned: `5: <invalid CO-RE relocation>`.
    if !rest.starts_with(['(', '<']) {
        return None;
    }
    let end = line.find(" ; ").unwrap_or(line.len());
    Some(line[..end].trim_end())
}

/// Whether a line shows the state of registers only: `5: R0=scalar() R10=fp0`,
/// `from 3 to 7: R0=…`, `last_idx 7 first_idx 0`.
fn is_state(line: &str) -> bool {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0 && line[digits..].starts_with(": R"))
        || line.starts_with("from ")
        || line.starts_with("last_idx ")
        || line.starts_with("regs=")
        || line.starts_with("parent state ")
        || line.starts_with("func#")
        || line.starts_with("frame")
}

/// Picks the lines that say what is wrong out of a whole verifier log.
pub fn excerpt(log: &str) -> Excerpt {
    let lines: Vec<&str> = log
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let mut found = Excerpt {
        log_lines: lines.len(),
        ..Excerpt::default()
    };
    let end = lines
        .iter()
        .rposition(|line| !is_statistics(line))
        .map_or(0, |last| last + 1);

    // The complaint is what follows the last instruction or state.
    let start = lines[..end]
        .iter()
        .rposition(|line| instruction(line).is_some() || is_state(line) || line.starts_with("; "))
        .map_or(0, |last| last + 1);
    found.complaint = lines[start..end]
        .iter()
        .take(COMPLAINT_LINES)
        .map(|line| (*line).to_owned())
        .collect();

    if let Some(at) = lines[..start]
        .iter()
        .rposition(|line| instruction(line).is_some())
    {
        found.instruction = instruction(lines[at]).map(str::to_owned);
        found.source = lines[..at]
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("; "))
            .map(|line| line.trim().to_owned());
    }
    found
}

impl Excerpt {
    /// The excerpt as lines for a person.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for complaint in &self.complaint {
            lines.push(complaint.clone());
        }
        if let Some(instruction) = &self.instruction {
            lines.push(format!("at instruction {instruction}"));
        }
        if let Some(source) = &self.source {
            lines.push(format!("from {source}"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
0: R1=ctx() R10=fp0
; int BPF_PROG(stats_replace, struct ekho_replace_ctx *op) @ stats.bpf.c:35
0: (79) r6 = *(u64 *)(r1 +0)          ; R1=ctx() R6_w=trusted_ptr_ekho_replace_ctx()
; return *(int *)bpf_map_lookup_elem(&flow_stats, &cookie); @ stats.bpf.c:41
1: (85) call bpf_map_lookup_elem#1    ; R0_w=map_value_or_null(id=1,map=flow_stats,ks=8,vs=32)
2: (61) r0 = *(u32 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
verification time 120 usec
stack depth 8
processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
";

    #[test]
    fn complaint_instruction_and_source_are_found() {
        let excerpt = excerpt(LOG);
        assert_eq!(
            excerpt.complaint,
            ["R0 invalid mem access 'map_value_or_null'"]
        );
        assert_eq!(
            excerpt.instruction.as_deref(),
            Some("2: (61) r0 = *(u32 *)(r0 +0)")
        );
        assert_eq!(
            excerpt.source.as_deref(),
            Some("return *(int *)bpf_map_lookup_elem(&flow_stats, &cookie); @ stats.bpf.c:41")
        );
        assert_eq!(excerpt.log_lines, 10);
    }

    #[test]
    fn a_log_of_thousands_of_lines_stays_short() {
        let mut log = String::new();
        for index in 0..4000 {
            log += &format!("{index}: (b7) r0 = 0   ; R0_w=0\n");
        }
        log += "BPF program is too large. Processed 1000001 insn\nprocessed 1000001 insns (limit 1000000)\n";
        let excerpt = excerpt(&log);
        assert_eq!(
            excerpt.complaint,
            ["BPF program is too large. Processed 1000001 insn"]
        );
        assert_eq!(excerpt.lines().len(), 2);
    }

    #[test]
    fn a_complaint_before_the_first_instruction_is_found() {
        let excerpt = excerpt(
            "attach to unsupported member appended of struct bpf_flow_offload_ops\nprocessed 0 insns (limit 1000000) max_states_per_insn 0\n",
        );
        assert_eq!(
            excerpt.complaint,
            ["attach to unsupported member appended of struct bpf_flow_offload_ops"]
        );
        assert_eq!(excerpt.instruction, None);
    }

    #[test]
    fn a_failed_relocation_is_found() {
        let excerpt = excerpt(
            "; x @ f.c:7\n12: <invalid CO-RE relocation>\nfailed to resolve CO-RE relocation <byte_off> [8] struct ekho_flow.gone (0:4 @ offset 32)\nprocessed 12 insns\n",
        );
        assert_eq!(
            excerpt.complaint,
            ["failed to resolve CO-RE relocation <byte_off> [8] struct ekho_flow.gone (0:4 @ offset 32)"]
        );
        assert_eq!(
            excerpt.instruction.as_deref(),
            Some("12: <invalid CO-RE relocation>")
        );
        assert_eq!(excerpt.source.as_deref(), Some("x @ f.c:7"));
    }

    #[test]
    fn an_empty_log_gives_an_empty_excerpt() {
        assert_eq!(excerpt(""), Excerpt::default());
        assert!(excerpt("").lines().is_empty());
    }
}
