// SPDX-License-Identifier: GPL-2.0-only

//! Sorting.
//!
//! `core` sorts as well, but panics in a function of its own if an order contradicts itself, and
//! objtool doesn't know that this one never returns.

/// Sorts by a key, in place, in `O(n log n)`, as the kernel's `sort()` does. Equal ones may change
/// places.
pub(crate) fn sort_by_key<T, K: Ord>(slice: &mut [T], key: impl Fn(&T) -> K) {
    // The front, of `len` elements, is a heap below `root`: no element is less than its children.
    let sift = |slice: &mut [T], mut root: usize, len: usize| loop {
        let left = 2 * root + 1;
        if left >= len {
            return;
        }
        let right = left + 1;
        let child = match right < len && key(&slice[left]) < key(&slice[right]) {
            true => right,
            false => left,
        };
        if key(&slice[root]) >= key(&slice[child]) {
            return;
        }
        slice.swap(root, child);
        root = child;
    };
    let len = slice.len();
    for root in (0..len / 2).rev() {
        sift(slice, root, len);
    }
    for end in (1..len).rev() {
        slice.swap(0, end);
        sift(slice, 0, end);
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(not(test), kernel::macros::kunit_tests(ekho_sort))]
mod tests {
    use super::*;

    #[test]
    fn all_orders_of_some_are_sorted() {
        // Each number below 5^5, as five digits.
        for n in 0..3125u32 {
            let mut digits = [n % 5, n / 5 % 5, n / 25 % 5, n / 125 % 5, n / 625];
            let sum: u32 = digits.iter().map(|digit| 1 << (4 * digit)).sum();
            sort_by_key(&mut digits, |digit| *digit);
            assert!(digits.windows(2).all(|pair| pair[0] <= pair[1]));
            assert_eq!(
                sum,
                digits.iter().map(|digit| 1 << (4 * digit)).sum::<u32>()
            );
        }
        for len in 0..100u32 {
            let mut numbers = [0; 100];
            let numbers = &mut numbers[..len as usize];
            for (n, number) in numbers.iter_mut().enumerate() {
                *number = (n as u32 * 37) % 101;
            }
            sort_by_key(numbers, |number| !*number);
            assert!(numbers.windows(2).all(|pair| pair[0] >= pair[1]));
        }
    }
}
