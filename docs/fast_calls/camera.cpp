// The module of docs/fast_calls.md: a camera, bound by name, and another as a whole class.
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <string>
#include <string_view>

using namespace boost::python;
using handoff::fast;

namespace {

struct lens {
    int focus = 35;
};

class camera {
public:
    [[nodiscard]] int frame() const { return frame_; }
    void seek(int frame, int from) { frame_ = from + frame; }
    lens& front() { return lens_; }
    void grab() { ++frame_; }  // which waits for the device
    [[nodiscard]] int size() const { return 1000; }
    [[nodiscard]] double exposure() const { return exposure_; }
    void set_exposure(double seconds) { exposure_ = seconds; }

private:
    int frame_ = 0;
    double exposure_ = 0.01;
    lens lens_;
};

struct webcam : camera {
    std::string name = "webcam";
};

double scale(double value, double by) { return value * by; }
std::size_t length(std::string_view text) { return text.size(); }

}  // namespace

BOOST_PYTHON_MODULE(camera) {
    class_<lens>("Lens").def_readwrite("focus", &lens::focus);
    // clang-format off
class_<camera>("Camera")
    .def("frame", fast(&camera::frame))
    .def("seek", fast(&camera::seek), (arg("frame"), arg("from") = 0), "Seeks.")
    .def("lens", fast(&camera::front), return_internal_reference<>())
    .def("grab", fast(handoff::without_gil(&camera::grab)))
    .def("__len__", fast(&camera::size))
    .add_property("exposure", fast<camera>(&camera::exposure), fast<camera>(&camera::set_exposure));
def("scale", fast(&scale));
    // clang-format on
    def("length", fast(&length));
    // clang-format off
handoff::fast_class_<webcam, bases<camera>>("Webcam")   // in place of class_<webcam, bases<camera>>
    .def("shown_frame", &webcam::frame)
    .def_readwrite("name", &webcam::name);
    // clang-format on
}
