"""The pattern of a loop, step after step, in native code. `loops.py` says what the arrays are."""

from __future__ import annotations

from ..machines.cpu.jit import native

#: how a sweep has ended: finished; no more room in `out`, or in `sets`; more work than allowed
DONE, FULL_OUT, FULL_SETS, EXCEEDED = 0, 1, 2, 3
#: what it keeps in `state`: steps done, entries put out, entries visited, sets made
AT, OUT, WORK, STAMP = 0, 1, 2, 3

_ROWS = "int64[::1], int32[::1]"
_NUMBERS = "int64[::1]"


@native("int64(int32[::1], int64, int64, int64[::1], int64, int32[::1], int64)")
def _add(index, start, end, seen, stamp, out, at):
    """Append the columns not yet seen. Returns where they end."""
    for k in range(start, end):
        c = index[k]
        if seen[c] != stamp:
            seen[c] = stamp
            out[at] = c
            at += 1
    return at


@native("(int32[::1], int64, int64, int64[::1], int64)")
def _arrange(out, start, end, seen, stamp):
    """Ascending: by a look at all columns between the first and the last where that is not much longer than sorting."""
    if end == start:
        return
    low, high, ordered = out[start], out[start], True
    for k in range(start + 1, end):
        ordered &= out[k - 1] < out[k]
        low, high = min(low, out[k]), max(high, out[k])
    if ordered:
        return
    if high - low > 16 * (end - start):
        out[start:end].sort()
        return
    at = start
    for c in range(low, high + 1):
        if seen[c] == stamp:
            out[at] = c
            at += 1


@native(f"({_ROWS}, int64, int64, int64, boolean[::1])")
def reach(ptr, index, carries, arguments, results, needed):
    """Mark the rows of the carry and of hubs that those marked already are made of, in their step or in any before."""
    waiting = [row for row in range(len(needed)) if needed[row]]
    while len(waiting) > 0:
        row = waiting.pop()
        for k in range(ptr[row], ptr[row + 1]):
            c = index[k]
            source = c if c < carries else c - arguments + results if c >= arguments else row
            if not needed[source]:
                needed[source] = True
                waiting.append(source)


@native(
    f"int64({_ROWS}, {_NUMBERS}, {_NUMBERS}, {_NUMBERS}, {_NUMBERS}, {_ROWS}, int64, int64, int64, boolean, int64, {_NUMBERS}, "
    f"int64[:, ::1], int64[:, ::1], int32[:, ::1], {_NUMBERS}, {_NUMBERS}, int32[::1], {_NUMBERS}, {_NUMBERS})"
)
def forwards(
    ptr, index, same, rows, begins, strides, given_ptr, given_index, carries, results, length, reverse, most, state,
    start, end, sets, y_start, y_end, out, seen, met,
):  # fmt: skip
    """The sets of every new carry and of every y, in the loop's order. It goes on where `state` says.

    Row k & 1 of start, end and sets is the carry before step k.
    """
    ys, arguments = results - carries, len(begins)
    while state[AT] < length:
        step = state[AT]
        n = length - 1 - step if reverse else step
        old, new = step & 1, 1 - step & 1
        at, y_at, changed = 0, state[OUT], False
        for row in rows:
            is_y = carries <= row < results
            y, first = n * ys + row - carries, same[row]
            if first != row:
                if is_y:
                    y_start[y], y_end[y] = y_start[y - row + first], y_end[y - row + first]
                else:
                    start[new, row], end[new, row] = start[new, first], end[new, first]
                continue
            if at + len(seen) > sets.shape[1]:
                return FULL_SETS
            if y_at + len(seen) > len(out):
                return FULL_OUT
            state[STAMP] += 1
            stamp, place = state[STAMP], at
            for k in range(ptr[row], ptr[row + 1]):
                c = index[k]
                if carries <= c < arguments:
                    g = begins[c] + n * strides[c]
                    changed |= strides[c] > 0
                    place = _add(given_index, given_ptr[g], given_ptr[g + 1], seen, stamp, sets[new], place)
                    state[WORK] += given_ptr[g + 1] - given_ptr[g]
                    continue
                side, source = (old, c) if c < carries else (new, c - arguments + results)
                one = same[source] if step or side == new else source  # equal rows have made equal sets
                if met[one] != stamp:
                    met[one] = stamp
                    place = _add(sets[side], start[side, source], end[side, source], seen, stamp, sets[new], place)
                    state[WORK] += end[side, source] - start[side, source]
            _arrange(sets[new], at, place, seen, stamp)
            if is_y:
                y_start[y], y_end[y] = y_at, y_at + place - at
                out[y_at : y_at + place - at] = sets[new, at:place]
                y_at += place - at
            else:
                start[new, row], end[new, row] = at, place
                at = place
        state[AT] += 1
        state[OUT] = y_at
        state[WORK] += len(rows)
        if state[WORK] > most:
            return EXCEEDED
        for row in rows:
            if row < carries and not changed:
                size = end[new, row] - start[new, row]
                changed = size != end[old, row] - start[old, row]
                for k in range(size):
                    changed |= sets[new, start[new, row] + k] != sets[old, start[old, row] + k]
        if not changed:  # nor will it in any later step
            for later in range(state[AT], length):
                m = length - 1 - later if reverse else later
                y_start[m * ys : (m + 1) * ys] = y_start[n * ys : (n + 1) * ys]
                y_end[m * ys : (m + 1) * ys] = y_end[n * ys : (n + 1) * ys]
            if (length - state[AT]) & 1:
                start[old], end[old], sets[old] = start[new], end[new], sets[new]
            state[AT] = length
    return DONE


@native(
    f"int64({_ROWS}, {_NUMBERS}, {_NUMBERS}, {_NUMBERS}, {_NUMBERS}, {_ROWS}, int64, int64, int64, boolean, int64, {_NUMBERS}, "
    f"{_NUMBERS}, int32[::1], {_NUMBERS}, {_NUMBERS}, {_NUMBERS})"
)
def backwards(
    ptr, index, same, rows, begins, strides, given_ptr, given_index, carries, results, length, reverse, most, state,
    ends, out, seen, met, once,
):  # fmt: skip
    """The sets of the last carry's `rows`, each followed back through the steps. It goes on where `state` says."""
    arguments = len(begins)
    while state[AT] < len(rows):
        if state[OUT] + len(seen) > len(out):
            return FULL_OUT
        mark, place = state[AT] + 1, state[OUT]
        waiting = [rows[state[AT]]]
        for step in range(length - 1, -1, -1):
            n = length - 1 - step if reverse else step
            state[STAMP] += 1
            stamp = state[STAMP]
            before = waiting[:0]
            while len(waiting) > 0:
                row = waiting.pop()
                state[WORK] += ptr[row + 1] - ptr[row]
                for k in range(ptr[row], ptr[row + 1]):
                    c = index[k]
                    one = same[c] if c < carries and step else c  # equal rows have made equal sets
                    if met[one] == stamp or once[c] == mark:
                        continue
                    met[one] = stamp
                    if c < carries:
                        before.append(one)
                    elif c >= arguments:
                        waiting.append(c - arguments + results)
                    else:
                        if strides[c] == 0:
                            once[c] = mark
                        g = begins[c] + n * strides[c]
                        place = _add(given_index, given_ptr[g], given_ptr[g + 1], seen, mark, out, place)
                        state[WORK] += given_ptr[g + 1] - given_ptr[g]
            waiting = before
            if state[WORK] > most:
                return EXCEEDED
            if len(waiting) == 0:
                break
        for c in waiting:
            place = _add(given_index, given_ptr[begins[c]], given_ptr[begins[c] + 1], seen, mark, out, place)
        _arrange(out, state[OUT], place, seen, mark)
        state[AT] += 1
        state[OUT] = ends[state[AT]] = place
    return DONE
