// application: what docs/embed.md shows: a program that runs Python scripts in a folder.
#include <handoff/boost_python.hpp>
#include <handoff/interpreter.hpp>

#include <boost/python.hpp>

#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <thread>
#include <vector>

namespace {

void compute(handoff::interpreter& python, std::filesystem::path const& folder) {
    python.run_file(folder / "prepare.py");
    auto const area =
        python.call<double>("geometry", "area", 2.0, handoff::keyword("height") = 3.0);
    std::cout << "area " << area << '\n';

    try {
        python.call("geometry", "area", -1.0);
    } catch (handoff::python_error const& error) {
        std::cout << error.type() << ": " << error.message() << '\n';
    }

    std::vector<std::jthread> workers;
    for (int side = 1; side <= 3; ++side) {
        workers.emplace_back([&python, side] {
            try {
                python.call("geometry", "add", side);
            } catch (handoff::python_error const& error) {
                error.report();  // to sys.unraisablehook, which prints it on stderr
            }
        });
    }
    workers.clear();  // joins them: the GIL is not held here
    std::cout << "total " << python.call<int>("geometry", "total") << '\n';

    std::function<void(int)> const add = python.invoke([] {
        return handoff::callback<void(int)>(boost::python::import("geometry").attr("add"),
                                            {.on_error = &handoff::python_error::report});
    });
    std::jthread([&add] { add(10); }).join();
    std::cout << "total " << python.call<int>("geometry", "total") << '\n';

    python.run_file(folder / "parallel.py");
}

}  // namespace

int main(int argc, char* argv[]) {
    if (argc < 2) {
        std::cerr << "usage: application FOLDER [ENVIRONMENT]\n";
        return 2;
    }
    std::filesystem::path const folder = argv[1];
    std::filesystem::path const environment = argc > 2 ? argv[2] : "";
    handoff::interpreter python({
        .module_folders = {folder},
        .virtual_environment = environment,
    });
    try {
        python.start();  // the GIL is free on return
        compute(python, folder);
        python.stop();
    } catch (handoff::python_error const& error) {
        if (auto const code = error.exit_code()) {  // the script called sys.exit()
            if (*code == 1 && error.message() != "1") {  // with a text, which python3 prints
                std::cerr << error.message() << '\n';
            }
            return *code;
        }
        std::cerr << error.traceback();
        return 1;
    } catch (std::exception const& failure) {
        std::cerr << failure.what() << '\n';
        return 1;
    }
    return 0;
}
