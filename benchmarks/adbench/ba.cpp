// Bundle adjustment's Jacobian by hand: values, or values with the whole CSR structure. The formulas are those of ba.py, with the
// derivative of a rotated vector by Gallego and Yezzi (2015).
#include <cmath>
#include <cstdint>

namespace {

constexpr int CAMERA = 11, POINT = 3, BLOCK = CAMERA + POINT + 1;
constexpr double STILL = 1e-34;

struct Matrix {
    double at[3][3];
};

Matrix cross(const double *v) {
    return {{{0, -v[2], v[1]}, {v[2], 0, -v[0]}, {-v[1], v[0], 0}}};
}

Matrix times(const Matrix &a, const Matrix &b) {
    Matrix c;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            c.at[i][j] = a.at[i][0] * b.at[0][j] + a.at[i][1] * b.at[1][j] + a.at[i][2] * b.at[2][j];
    return c;
}

// The 2 by 15 derivatives of one weighted reprojection error by camera, point and weight.
void observation(const double *camera, const double *point, double w, const double *seen, double *u_row, double *v_row) {
    const double *r = camera, *C = camera + 3, *centre = camera + 7;
    const double f = camera[6], k1 = camera[9], k2 = camera[10];
    const double Y[3] = {point[0] - C[0], point[1] - C[1], point[2] - C[2]};
    const double squared = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
    Matrix R, by_r;
    if (squared > STILL) {
        const double t = std::sqrt(squared), a[3] = {r[0] / t, r[1] / t, r[2] / t};
        const double s = std::sin(0.5 * t), c = std::cos(0.5 * t), sine = 2 * s * c, versine = 2 * s * s;
        const Matrix A = cross(a), AA = times(A, A);
        Matrix axis;
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) {
                R.at[i][j] = (i == j) + sine * A.at[i][j] + versine * AA.at[i][j];
                axis.at[i][j] = a[i] * a[j] - sine / t * AA.at[i][j] - versine / t * A.at[i][j];
            }
        by_r = times(times(R, cross(Y)), axis);
    } else {
        R = cross(r);
        for (int i = 0; i < 3; i++) R.at[i][i] += 1;
        by_r = cross(Y);
    }
    double Z[3];
    for (int i = 0; i < 3; i++) Z[i] = R.at[i][0] * Y[0] + R.at[i][1] * Y[1] + R.at[i][2] * Y[2];
    const double u = Z[0] / Z[2], v = Z[1] / Z[2], s = u * u + v * v;
    const double distortion = 1 + s * (k1 + s * k2), slope = 2 * (k1 + 2 * k2 * s);
    const double image[2] = {u, v};
    double *rows[2] = {u_row, v_row};
    for (int e = 0; e < 2; e++) {
        double *row = rows[e];
        const double by_u = w * f * ((e == 0) * distortion + slope * image[e] * u);
        const double by_v = w * f * ((e == 1) * distortion + slope * image[e] * v);
        const double by_Z[3] = {by_u / Z[2], by_v / Z[2], -(by_u * u + by_v * v) / Z[2]};
        for (int j = 0; j < 3; j++) {
            const double by_Y = by_Z[0] * R.at[0][j] + by_Z[1] * R.at[1][j] + by_Z[2] * R.at[2][j];
            row[j] = -(by_Z[0] * by_r.at[0][j] + by_Z[1] * by_r.at[1][j] + by_Z[2] * by_r.at[2][j]);
            row[3 + j] = -by_Y;
            row[CAMERA + j] = by_Y;
        }
        row[6] = w * distortion * image[e];
        row[7] = e == 0 ? w : 0;
        row[8] = e == 1 ? w : 0;
        row[9] = w * f * s * image[e];
        row[10] = w * f * s * s * image[e];
        row[14] = f * distortion * image[e] + centre[e] - seen[e];
    }
}

}  // namespace

extern "C" void ba_values(int64_t p, const double *cameras, const double *points, const double *weights, const double *seen,
                          const int64_t *by_camera, const int64_t *of_point, double *data) {
    for (int64_t i = 0; i < p; i++) {
        double *block = data + 2 * BLOCK * i;
        observation(cameras + CAMERA * by_camera[i], points + POINT * of_point[i], weights[i], seen + 2 * i, block, block + BLOCK);
        data[2 * BLOCK * p + i] = -2 * weights[i];
    }
}

extern "C" void ba_assembled(int64_t n, int64_t m, int64_t p, const double *cameras, const double *points, const double *weights,
                             const double *seen, const int64_t *by_camera, const int64_t *of_point, double *data,
                             int32_t *indices, int32_t *indptr) {
    ba_values(p, cameras, points, weights, seen, by_camera, of_point, data);
    int32_t at = 0;
    for (int64_t i = 0; i < p; i++)
        for (int e = 0; e < 2; e++) {
            *indptr++ = at;
            for (int k = 0; k < CAMERA; k++) indices[at++] = int32_t(CAMERA * by_camera[i] + k);
            for (int k = 0; k < POINT; k++) indices[at++] = int32_t(CAMERA * n + POINT * of_point[i] + k);
            indices[at++] = int32_t(CAMERA * n + POINT * m + i);
        }
    for (int64_t i = 0; i < p; i++) {
        *indptr++ = at;
        indices[at++] = int32_t(CAMERA * n + POINT * m + i);
    }
    *indptr = at;
}
