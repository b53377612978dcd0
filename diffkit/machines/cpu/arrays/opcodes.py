"""Numbers that planners and interpreter share. Nothing here needs Numba."""

(
    CALL,
    EACH,
    MOVE,
    FOLD,
    REDUCE,
    PRODUCT,
    TOTAL,
    TAKE,
    ADD_AT,
    FILL,
    GROUP,
    LOOP,
    REVERSAL,
    NATIVE_LOOP,
    NATIVE_REVERSAL,
) = range(15)

#: products of fewer multiplications are done by the interpreter: calling BLAS costs as much
SMALL_PRODUCT = 600
#: elements of a run that is spread, gathered or summed up in scratch memory
RUN = 1024
#: bytes of scratch memory a thread: for a destination and three operands
SCRATCH = 4 * 8 * RUN
#: elements that are added up before the next ones
TOTALS_AT_ONCE = 8192
#: addresses of the slots of a program and of the bodies within each other
MOST_SLOTS = 8192
#: words of a loop being run: where its instruction is, the step, and what to come back to: place of memory, slots, end of the code
FRAME, DEEPEST = 16, 8
#: what the place of a kernel's pointer counts from (body_trace.Traced)
PLACE, BEFORE, AFTER = 0, 1, 3
