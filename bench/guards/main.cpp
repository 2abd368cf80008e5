// Benchmarks of the GIL's guards, on native threads of a process whose main thread is idle.
#include "../process.hpp"

int main(int argc, char** argv) { return bench::run(argc, argv); }
