import StagewireStage

@main struct Shout {
    static func main() async {
        await Worker.run(
            .transform { record, out in
                out.emit(record.output(text: try record.text().uppercased()))
            })
    }
}
