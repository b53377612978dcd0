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
    GATHER,
    SCATTER_ADD,
) = range(17)
#: called by address as instructions are: what runs code, copies a run, sums up a run; and the kinds of phases
EXECUTE, COPY, SUM, WHOLE, PARTS, LANES, ADD_UP = range(17, 24)
#: functions that are called by address
SHARED = 24

#: words of a run of a program (Memory.describe): room for a job's order (threads.share) and for what it is told: the run and the
#: phase; addresses of the code, of the functions
#: and kernels, of the table, of whole arrays, of totals, of what threads work in; bytes of that for each, and of those before its
#: registers; and the phases
RUN_ORDER, RUN_TOLD = 0, 4
RUN_CODE, RUN_ADDRESSES, RUN_TABLE, RUN_BASE, RUN_TOTALS, RUN_WORKSPACES, RUN_WORKSPACE, RUN_BEFORE = range(8, 16)
RUN_PHASES = 16
#: words of a phase: what kind it is (WHOLE, PARTS, LANES), begin and end of its code, its slots, lanes in a block and in all,
#: pieces, instructions · points of each; where its parts are; bytes of the totals of a piece, where they are added up to, in how
#: many runs
(
    KIND, BEGIN, END, SLOTS, SLOT_COUNT, LANES_IN_BLOCK, LANES_IN_ALL, PIECES, PIECE_WORK, PARTS_AT, TOTAL_BYTES, WANTED, RUNS,
    RUN_WORK, PHASE,
) = range(15)  # fmt: skip

#: words of the state of a run: addresses of the functions of instructions (by opcode), of kernels and of the table, of the memory
#: that places count from, lanes in a block and in use, whether nothing has been added to the totals yet, addresses of the slots, of
#: the room behind them, of scratch memory and of the word that says whether to stop (0: none); and an odometer
FUNCTIONS, KERNELS, TABLE, BASE, BLOCK, COUNT, FIRST, HERE, ROOM, SCRATCH_AT, STOP, ODOMETER = range(12)
STATE = 80

#: products of fewer multiplications are done by the interpreter: calling BLAS costs as much
SMALL_PRODUCT = 600
#: and those of no more are never done in tiles (tiling.py)
LEAST_TILED = 100_000
#: lanes of a block that multiplies by matrices: a multiple of 32 (BLAS)
LEAST_PRODUCT_LANES, MOST_PRODUCT_LANES = 32, 128
#: elements of a run that is spread, gathered or summed up in scratch memory
RUN = 1024
#: elements that are added up before the next ones
TOTALS_AT_ONCE = 8192
#: addresses of the slots of a program and of the bodies within each other
MOST_SLOTS = 8192
#: loops within each other
DEEPEST = 8
#: bytes of scratch memory a thread (for a destination and three operands, or what a product turns), and with the states behind it
SCRATCH = 4 * 8 * RUN
WORKING = SCRATCH + 8 * STATE * (DEEPEST + 1)
#: what is where an index that is out of range would be noted down: no integer
IN_RANGE = 0.5
#: what the place of a kernel's pointer counts from (body_trace.Traced)
PLACE, BEFORE, AFTER = 0, 1, 3
