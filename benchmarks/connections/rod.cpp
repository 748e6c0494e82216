// The rod of umbridge_worker.py behind the UM-Bridge project's C++ header (umbridge.h, which wants json.hpp and httplib.h).
// It raises at the lowest conductivity, to see what is told of that.

#include <iostream>
#include <mutex>
#include <stdexcept>

#include "umbridge.h"

class Rod : public umbridge::Model {
public:
  Rod() : umbridge::Model("forward") {}
  std::vector<std::size_t> GetInputSizes(const json&) const override { return {2, 1}; }
  std::vector<std::size_t> GetOutputSizes(const json&) const override { return {64, 1}; }
  bool SupportsEvaluate() override { return true; }

  std::vector<std::vector<double>> Evaluate(const std::vector<std::vector<double>>& inputs, json) override {
    const int n = 64;
    const double h = 1.0 / (n + 1), k = inputs[0][0], c = inputs[0][1], q = inputs[1][0];
    if (k <= 0.5) throw std::runtime_error("no mesh for so little conductivity");
    std::vector<double> diagonal(n, 2 * k / (h * h) + c), u(n, q);
    const double side = -k / (h * h);
    for (int i = 1; i < n; i++) {
      const double factor = side / diagonal[i - 1];
      diagonal[i] -= factor * side;
      u[i] -= factor * u[i - 1];
    }
    double mean = 0;
    for (int i = n - 1; i >= 0; i--) {
      u[i] = (u[i] - (i + 1 < n ? side * u[i + 1] : 0)) / diagonal[i];
      mean += h * u[i];
    }
    return {u, {mean}};
  }
};

int main(int, char** arguments) {
  Rod rod;
  umbridge::serveModels({&rod}, "127.0.0.1", std::stoi(arguments[1]));
}
