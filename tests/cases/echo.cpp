// A native server on Asio: timers and connections, whose handlers are Python functions.
#include <handoff/asio/python_executor.hpp>
#include <handoff/asio/use_python_future.hpp>
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <boost/asio.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace {

namespace asio = boost::asio;
namespace py = boost::python;
using asio::ip::tcp;
using boost::system::error_code;
using python_function = handoff::gil_shared<py::object>;

/// Each of its handlers runs with the GIL held.
class connection : public std::enable_shared_from_this<connection> {
public:
    connection(tcp::socket socket, handoff::python_executor python, python_function answer)
        : socket_(std::move(socket)), python_(std::move(python)), answer_(std::move(answer)) {}

    void read() {
        socket_.async_read_some(
            asio::buffer(data_),
            asio::bind_executor(python_, [self = shared_from_this()](error_code error, auto size) {
                if (!error) {
                    self->write(size);
                }
            }));
    }

private:
    void write(std::size_t size) {
        py::object const data(
            py::handle<>(PyBytes_FromStringAndSize(data_.data(), static_cast<Py_ssize_t>(size))));
        py::object const answer = answer_.get()(data);
        auto const written = std::make_shared<std::string>(
            PyBytes_AsString(answer.ptr()), static_cast<std::size_t>(py::len(answer)));
        asio::async_write(
            socket_, asio::buffer(*written),
            [self = shared_from_this(), written](error_code error, std::size_t /*size*/) {
                if (!error) {
                    self->read();
                }
            });
    }

    tcp::socket socket_;
    handoff::python_executor python_;
    python_function answer_;
    std::array<char, 4096> data_{};
};

struct service {
    asio::io_context io;
    handoff::python_executor python{io};
    tcp::acceptor acceptor{io};

    void accept(python_function const& answer) {
        acceptor.async_accept([this, answer](error_code error, tcp::socket socket) {
            if (!error) {
                std::make_shared<connection>(std::move(socket), python, answer)->read();
                accept(answer);
            }
        });
    }
};

/// A destructor that does not wait: the threads own what they use.
class server {
public:
    server() : own_(std::make_shared<service>()), work_(own_->io.get_executor()) {
        for (int i = 0; i < 2; ++i) {
            std::thread([own = own_] { own->io.run(); }).detach();
        }
    }
    ~server() { own_->io.stop(); }
    server(server const&) = delete;
    server& operator=(server const&) = delete;

    int listen(py::object const& answer) {
        tcp::endpoint const anywhere(asio::ip::address_v4::loopback(), 0);
        auto& acceptor = own_->acceptor;
        acceptor.open(anywhere.protocol());
        acceptor.bind(anywhere);
        acceptor.listen();
        int const port = acceptor.local_endpoint().port();
        own_->accept(python_function(answer));
        return port;
    }

    /// Calls function(n) with 0, 1, …, a millisecond apart.
    void tick(py::object const& function, int count) {
        tick_later(*own_, std::make_shared<asio::steady_timer>(own_->io), python_function(function),
                   0, count);
    }

    /// Futures of Python's.
    py::object sleep(double seconds) {
        auto const timer = std::make_shared<asio::steady_timer>(own_->io);
        timer->expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(
            std::chrono::duration<double>(seconds)));
        return timer->async_wait(handoff::use_python_future.cancelling(timer));
    }
    py::object connect(int port) {
        auto const socket = std::make_shared<tcp::socket>(own_->io);
        return socket->async_connect(
            tcp::endpoint(asio::ip::address_v4::loopback(), static_cast<unsigned short>(port)),
            handoff::use_python_future.keeping(socket));
    }

private:
    static void tick_later(service& own, std::shared_ptr<asio::steady_timer> const& timer,
                           python_function const& function, int number, int count) {
        timer->expires_after(std::chrono::milliseconds(1));
        timer->async_wait(asio::bind_executor(
            own.python, [&own, timer, function, number, count](error_code error) {
                if (error) {
                    return;
                }
                if (number + 1 < count) {
                    tick_later(own, timer, function, number + 1, count);
                }
                function.get()(number);
            }));
    }

    std::shared_ptr<service> own_;
    asio::executor_work_guard<asio::io_context::executor_type> work_;
};

}  // namespace

HANDOFF_PYTHON_MODULE(echo) {
    py::class_<server, boost::noncopyable>("Server")
        .def("listen", &server::listen)
        .def("tick", &server::tick)
        .def("sleep", &server::sleep)
        .def("connect", &server::connect);
}
