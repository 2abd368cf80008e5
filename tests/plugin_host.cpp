// plugin_host: plugin_host TIMES PLUGIN STATEMENTS…: as an editor or a chat program loads plugins,
// it loads each, which brings Python, runs the statements, and unloads it.
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

int main(int argc, char* argv[]) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: plugin_host TIMES PLUGIN STATEMENTS\n");
        return 2;
    }
    for (int time = 0; time < std::strtol(argv[1], nullptr, 10); ++time) {
        void* const plugin = dlopen(argv[2], RTLD_NOW | RTLD_GLOBAL);
        if (plugin == nullptr) {
            std::fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        auto const run = reinterpret_cast<int (*)(char const*)>(dlsym(plugin, "run_python"));
        if (int const failed = run(argv[3]); failed != 0) {
            return failed;
        }
        dlclose(plugin);
    }
    return 0;
}
