"""The device's own sensors: cameras and weather instruments behind two small protocols, chosen by configuration.

    reading.py, protocol.py   what a sensor gives; None is unknown, never zero
    config.py                 the `sensors` section of the worker's YAML, with defaults and their reasons
    weather.py, camera.py     from configuration to backend
    store.py, clips.py        what is kept, within bounds, through a power cut
    station.py                samples and records
    mqtt.py, homeassistant.py to a home automation
    inputs.py                 to paid tasks that ask for `sensor://...`, and to files

Nothing here is imported by a worker that has no `sensors` section.
"""
