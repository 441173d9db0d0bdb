#include <oneapi/dnnl/dnnl.hpp>

int main() {
  dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(cpu);
  const dnnl::memory::desc shape({2, 2}, dnnl::memory::data_type::f32,
                                 dnnl::memory::format_tag::ab);
  float a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8}, c[4] = {};
  dnnl::memory left(shape, cpu, a), right(shape, cpu, b), product(shape, cpu, c);
  const dnnl::matmul::primitive_desc matmul({shape, shape, shape}, cpu);
  dnnl::matmul(matmul).execute(
      stream, {{DNNL_ARG_SRC, left}, {DNNL_ARG_WEIGHTS, right}, {DNNL_ARG_DST, product}});
  stream.wait();
  return c[0] == 19 && c[3] == 50 ? 0 : 1;
}
