"""Makes and checks a torrent; the thread of its session calls Python for each alert."""

import tempfile
import threading
from pathlib import Path

import libtorrent as lt

notified = threading.Event()
session = lt.session(
    {
        "listen_interfaces": "127.0.0.1:0",
        "alert_mask": lt.alert.category_t.status_notification,
        **dict.fromkeys(("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp"), False),
    }
)
session.set_alert_notify(notified.set)  # called on the thread of the session

with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "file").write_bytes(bytes(range(256)) * 4096)
    torrent, pieces = lt.create_torrent(lt.list_files(f"{folder}/file"), 65536), []
    lt.set_piece_hashes(torrent, folder, pieces.append)  # Python for each piece
    info = lt.torrent_info(torrent.generate())
    parameters = lt.add_torrent_params()
    parameters.ti, parameters.save_path = info, folder
    handle = session.add_torrent(parameters)
    finished = False
    while not finished:
        notified.wait()
        notified.clear()
        alerts = session.pop_alerts()
        finished |= any(isinstance(alert, lt.torrent_finished_alert) for alert in alerts)
    print(pieces, info.name(), info.num_pieces(), handle.status().progress)
    session.remove_torrent(handle)
