// The LSTM's loss and gradient by hand: forward with everything kept, then backward through time. Gates: forget, in, out, change.
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

enum { FORGET, IN, OUT, CHANGE, CELL, BENT, HIDDEN, KEPT };  // what is kept of a layer at a time, b numbers each

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

// numbers that `kept` must hold
extern "C" int64_t lstm_kept(int64_t l, int64_t c, int64_t b) { return (c - 1) * (l * KEPT + 2) * b + 2 * l * b + b; }

extern "C" double lstm_gradient(int64_t l, int64_t c, int64_t b, const double *__restrict main, const double *__restrict extra,
                                const double *__restrict state, const double *__restrict sequence, double *__restrict by_main,
                                double *__restrict by_extra, double *__restrict kept) {
    const int64_t steps = c - 1, frame = (l * KEPT + 2) * b;  // of a time: its layers, its input, its outputs' derivatives
    const double scale = -1.0 / (double(b) * double(steps));
    double total = 0;
    for (int64_t t = 0; t < steps; t++) {
        double *now = kept + t * frame, *input = now + l * KEPT * b, *by_y = input + b;
        for (int64_t j = 0; j < b; j++) input[j] = sequence[t * b + j] * extra[j];
        const double *x = input;
        for (int64_t k = 0; k < l; k++) {
            const double *W = main + 8 * b * k, *B = W + 4 * b;
            const double *h = t ? now - frame + (k * KEPT + HIDDEN) * b : state + 2 * k * b;
            const double *cell = t ? now - frame + (k * KEPT + CELL) * b : state + (2 * k + 1) * b;
            double *s = now + k * KEPT * b;
            for (int64_t j = 0; j < b; j++) s[FORGET * b + j] = logistic(x[j] * W[FORGET * b + j] + B[FORGET * b + j]);
            for (int64_t j = 0; j < b; j++) s[IN * b + j] = logistic(h[j] * W[IN * b + j] + B[IN * b + j]);
            for (int64_t j = 0; j < b; j++) s[OUT * b + j] = logistic(x[j] * W[OUT * b + j] + B[OUT * b + j]);
            for (int64_t j = 0; j < b; j++) s[CHANGE * b + j] = std::tanh(h[j] * W[CHANGE * b + j] + B[CHANGE * b + j]);
            for (int64_t j = 0; j < b; j++) s[CELL * b + j] = cell[j] * s[FORGET * b + j] + s[IN * b + j] * s[CHANGE * b + j];
            for (int64_t j = 0; j < b; j++) s[BENT * b + j] = std::tanh(s[CELL * b + j]);
            for (int64_t j = 0; j < b; j++) s[HIDDEN * b + j] = s[OUT * b + j] * s[BENT * b + j];
            x = s + HIDDEN * b;
        }
        const double *next = sequence + (t + 1) * b;
        double sum = 2, wanted = 0;
        for (int64_t j = 0; j < b; j++) {
            const double y = x[j] * extra[b + j] + extra[2 * b + j];
            total += next[j] * y;
            wanted += next[j];
            by_y[j] = std::exp(y);
            sum += by_y[j];
        }
        total -= wanted * std::log(sum);
        for (int64_t j = 0; j < b; j++) by_y[j] = scale * (next[j] - wanted * by_y[j] / sum);
    }
    std::memset(by_main, 0, sizeof(double) * 8 * b * l);
    std::memset(by_extra, 0, sizeof(double) * 3 * b);
    double *by_h = kept + steps * frame, *by_cell = by_h + l * b, *by_x = by_cell + l * b;
    std::memset(by_h, 0, sizeof(double) * 2 * l * b);
    for (int64_t t = steps - 1; t >= 0; t--) {
        const double *now = kept + t * frame, *input = now + l * KEPT * b, *by_y = input + b;
        const double *top = now + ((l - 1) * KEPT + HIDDEN) * b;
        for (int64_t j = 0; j < b; j++) {
            by_extra[b + j] += by_y[j] * top[j];
            by_extra[2 * b + j] += by_y[j];
            by_x[j] = by_y[j] * extra[b + j];
        }
        for (int64_t k = l - 1; k >= 0; k--) {
            const double *W = main + 8 * b * k, *s = now + k * KEPT * b;
            const double *x = k ? s - KEPT * b + HIDDEN * b : input;
            const double *h = t ? now - frame + (k * KEPT + HIDDEN) * b : state + 2 * k * b;
            const double *cell = t ? now - frame + (k * KEPT + CELL) * b : state + (2 * k + 1) * b;
            double *by_W = by_main + 8 * b * k, *by_B = by_W + 4 * b, *bh = by_h + k * b, *bc = by_cell + k * b;
            for (int64_t j = 0; j < b; j++) {
                const double f = s[FORGET * b + j], g = s[IN * b + j], o = s[OUT * b + j], a = s[CHANGE * b + j];
                const double bent = s[BENT * b + j], by_new = bh[j] + by_x[j];
                const double by_c = bc[j] + by_new * o * (1 - bent * bent);
                const double zf = by_c * cell[j] * f * (1 - f), zg = by_c * a * g * (1 - g);
                const double zo = by_new * bent * o * (1 - o), za = by_c * g * (1 - a * a);
                by_W[FORGET * b + j] += zf * x[j];
                by_W[IN * b + j] += zg * h[j];
                by_W[OUT * b + j] += zo * x[j];
                by_W[CHANGE * b + j] += za * h[j];
                by_B[FORGET * b + j] += zf;
                by_B[IN * b + j] += zg;
                by_B[OUT * b + j] += zo;
                by_B[CHANGE * b + j] += za;
                bc[j] = by_c * f;
                bh[j] = zg * W[IN * b + j] + za * W[CHANGE * b + j];
                by_x[j] = zf * W[FORGET * b + j] + zo * W[OUT * b + j];
            }
        }
        for (int64_t j = 0; j < b; j++) by_extra[j] += by_x[j] * sequence[t * b + j];
    }
    return scale * total;
}
