extension RandomAccessCollection where Index == Int {
    /// The first index whose element is past, in a collection of which those that are stand behind all others; `endIndex`: none is.
    func firstIndex(ofSorted isPast: (Element) -> Bool) -> Int {
        var low = startIndex
        var high = endIndex
        while low < high {
            let middle = low + (high - low) / 2
            if isPast(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
