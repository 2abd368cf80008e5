// window: an application without a terminal, which receives what Python prints (docs/embed.md).
#include <handoff/interpreter.hpp>

#include <exception>
#include <iostream>
#include <mutex>
#include <string>
#include <string_view>

namespace {

/// In place of a window: it keeps the text that any thread appends.
class text_window {
public:
    void append(std::string_view text) {
        std::scoped_lock const alone(mutex_);
        text_ += text;
    }
    std::string text() const {
        std::scoped_lock const alone(mutex_);
        return text_;
    }

private:
    mutable std::mutex mutex_;
    std::string text_;
};

}  // namespace

int main() {
    text_window window;
    handoff::interpreter python({
        .output = [&window](std::string_view text) { window.append(text); },
        .errors = [&window](std::string_view text) { window.append(text); },
    });
    try {
        python.start();
        python.run_string("import sys; print('printed'); print('an error', file=sys.stderr)");
        python.stop();
    } catch (std::exception const& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    std::cout << window.text();
}
